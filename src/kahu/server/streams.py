"""Answers that are read while they are sent, and requests whose sender is gone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kahu.errors import KahuError

T = TypeVar("T")

log = logging.getLogger("kahu.server")


class Gone(Exception):
    """The client has closed the connection: there is nobody to answer."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it is cancelled, and Gone raised, when the client closes the connection before.

    For requests whose body has been read, or that have none.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Gone
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait((working, watching))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
    ) -> None:
        self.status_code = 200
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
    ) -> "Streamed":
        """An answer of `chunks`; the first is read now, so that a store that fails at once is a refusal."""
        return cls(await anext(chunks, b""), chunks, content_type, length, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
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
