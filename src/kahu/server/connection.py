"""One HTTP connection: uvicorn's, with a patience that ends. Whoever does not speak, does not listen, or is gone
without a word keeps nothing busy for ever."""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 30.0
"""seconds for the head of a request, from its first byte or from when the connection was made"""
STALL = 120.0
"""seconds without a byte while a body is being sent here, or an answer is waiting to be taken"""
MOST = 512
"""connections at a time; more are told to come again (503)"""

# A peer that has vanished is noticed within about two minutes, whether we are sending or not.
_KEEP_ALIVE = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 60),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 15),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 4),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, int(STALL * 1000)),
)


class Connection(HttpToolsProtocol):
    """A connection that is broken off when its other side stalls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: asyncio.TimerHandle | None = None
        self._body: asyncio.TimerHandle | None = None
        self._answer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _keep_alive(transport.get_extra_info("socket"))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._body, self._answer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()

    # The head

    def on_headers_complete(self) -> None:
        if self._head:
            self._head.cancel()
            self._head = None
        super().on_headers_complete()
        self._body = self.loop.call_later(STALL, self._check_body)

    def _expect_head(self) -> None:
        if self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD, self.transport.abort)

    # The body

    def on_message_complete(self) -> None:
        if self._body:
            self._body.cancel()
        super().on_message_complete()

    def _check_body(self) -> None:
        """Not hearing anything is nobody's fault but our own while we do not listen."""
        if not self.flow.read_paused and self.loop.time() - self._heard >= STALL:
            self.transport.abort()
            return
        self._body = self.loop.call_later(STALL, self._check_body)

    # The answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left = self.transport.get_write_buffer_size()
        self._answer = self.loop.call_later(STALL, self._check_answer)

    def resume_writing(self) -> None:
        if self._answer:
            self._answer.cancel()
        super().resume_writing()

    def _check_answer(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= self._left:
            self.transport.abort()
            return
        self._left = left
        self._answer = self.loop.call_later(STALL, self._check_answer)


def _keep_alive(connection: Any) -> None:
    for name, level, value in _KEEP_ALIVE:
        if connection is not None and hasattr(socket, name):  # some systems lack some
            connection.setsockopt(level, getattr(socket, name), value)
