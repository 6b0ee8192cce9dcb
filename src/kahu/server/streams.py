"""Answers that are read while they are sent, and requests whose sender is gone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kahu.errors import KahuError

T = TypeVar("T")

log = logging.getLogger("kahu.server")


class Gone(Exception):
    """The client has closed the connection: there is nobody to answer."""


_WATCH_AFTER = 0.05
"""seconds of work before anyone looks whether the client is there still: most answers are given by then"""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it is cancelled, and Gone raised, when the client closes the connection before.

    For requests whose body has been read, or that have none. `work` is done in the task that calls.
    """
    watch = _Watch(receive)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.cancelled():
            raise Gone from None
        raise
    finally:
        watch.end()


class _Watch:
    """Cancels the task that made it when the client closes the connection."""

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task
        self._left = False
        self._receive = receive
        self._task = task
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._begin)

    def cancelled(self) -> bool:
        """Whether a cancellation is this one's; then it is over."""
        if self._left:
            self._task.uncancel()
        return self._left

    def end(self) -> None:
        self._timer.cancel()
        if self._watching:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()


class Pieces(Response):
    """An answer whose body is there, in pieces that are sent as they are: nothing is copied."""

    def __init__(self, pieces: Sequence[bytes], status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.background = None
        self._pieces = pieces
        self.init_headers({"Content-Length": str(sum(map(len, pieces))), **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": self._pieces[-1] if self._pieces else b""})


class Streamed(Response):
    """An answer that is sent as fast as the client takes it; one chunk is read ahead, no more.

    What goes wrong once it has begun can be said only by breaking the connection off: then the client has
    fewer bytes than were promised, or an unfinished chunked body, never wrong ones.
    """

    def __init__(
        self,
        first: bytes,
        rest: AsyncGenerator[bytes, None],
        content_type: str,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> None:
        self.status_code = status
        self.background = None
        self._first = first
        self._rest = rest
        self.init_headers({"Content-Type": content_type, **(headers or {})})
        if length is not None:
            self.headers["Content-Length"] = str(length)

    @classmethod
    async def begin(
        cls,
        chunks: AsyncGenerator[bytes, None],
        content_type: str,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> "Streamed":
        """An answer of `chunks`; the first is read now, so that a store that fails at once is a refusal."""
        return cls(await anext(chunks, b""), chunks, content_type, length, headers, status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._rest):
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            try:
                await while_connected(receive, self._send(send))
            except Gone:
                log.debug("a client left in the middle of an answer")
            except KahuError as error:
                log.warning("an answer was broken off: %s", error)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for chunk in self._rest:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
