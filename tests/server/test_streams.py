"""Answers that stream: what is promised, and what happens when a side breaks off."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from kahu.errors import Unavailable
from kahu.server.streams import Gone, Streamed, while_connected

Send = Callable[[Any], Awaitable[None]]


class Client:
    """The other side of a connection: takes what is sent until it has had `patience` chunks."""

    def __init__(self, patience: int = 1000) -> None:
        self.sent: list[dict[str, Any]] = []
        self.patience = patience
        self.left = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if len(self.sent) > self.patience:
            self.left.set()
            await asyncio.Event().wait()

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def whole(self) -> bool:
        return self.sent[-1].get("more_body") is False


async def get(client: Client, response: Streamed, method: str = "GET") -> None:
    await response({"type": "http", "method": method}, client.receive, client.send)


class Source:
    """Chunks, and whether they were closed."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks
        self.given = 0
        self.closed = False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self.chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                self.given += 1
                yield chunk
        finally:
            self.closed = True


def test_an_answer_is_sent_whole() -> None:
    async def main() -> None:
        client, source = Client(), Source(b"ab", b"c")
        await get(client, await Streamed.begin(source(), "text/plain", 3, {"Vary": "Accept"}))
        assert client.sent[0]["headers"] == [
            (b"content-type", b"text/plain"),
            (b"vary", b"Accept"),
            (b"content-length", b"3"),
        ]
        assert client.body == b"abc"
        assert client.whole
        assert source.closed

    asyncio.run(main())


def test_an_empty_answer_is_one_too() -> None:
    async def main() -> None:
        client = Client()
        await get(client, await Streamed.begin(Source()(), "text/plain", 0))
        assert client.body == b""
        assert client.whole

    asyncio.run(main())


def test_head_reads_no_further_than_the_first_chunk() -> None:
    async def main() -> None:
        client, source = Client(), Source(b"ab", b"c", b"d")
        await get(client, await Streamed.begin(source(), "text/plain", 4), "HEAD")
        assert (client.body, client.whole, source.given, source.closed) == (b"", True, 1, True)
        assert (b"content-length", b"4") in client.sent[0]["headers"]

    asyncio.run(main())


def test_a_source_that_fails_at_once_is_a_refusal() -> None:
    async def main() -> None:
        with pytest.raises(Unavailable):
            await Streamed.begin(Source(Unavailable("gone"))(), "text/plain", 3)

    asyncio.run(main())


def test_a_source_that_fails_later_breaks_the_answer_off() -> None:
    async def main() -> None:
        client = Client()
        await get(client, await Streamed.begin(Source(b"ab", Unavailable("gone"))(), "text/plain", 3))
        assert client.body == b"ab"
        assert not client.whole

    asyncio.run(main())


def test_a_client_that_leaves_stops_the_reading() -> None:
    async def main() -> None:
        client, source = Client(patience=2), Source(*[b"x"] * 100)
        await get(client, await Streamed.begin(source(), "text/plain", 100))
        assert source.closed
        assert source.given < 5

    asyncio.run(main())


def test_work_is_cancelled_when_its_client_leaves() -> None:
    async def main() -> None:
        client = Client()
        cancelled = asyncio.Event()

        async def work() -> None:
            try:
                client.left.set()
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        with pytest.raises(Gone):
            await while_connected(client.receive, work())
        assert cancelled.is_set()

    asyncio.run(main())


def test_work_that_ends_gives_its_result_or_its_error() -> None:
    async def main() -> None:
        async def good() -> int:
            return 1

        async def bad() -> int:
            raise Unavailable("no")

        assert await while_connected(Client().receive, good()) == 1
        with pytest.raises(Unavailable):
            await while_connected(Client().receive, bad())

    asyncio.run(main())
