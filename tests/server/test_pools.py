"""Plain calls from the event loop: bounded, one pool a store, and dropped when nobody waits for them."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from kahu.errors import NotFound, Unavailable
from kahu.server.pools import Pool, Pools


def test_a_call_gives_what_it_returns_or_raises() -> None:
    async def main() -> None:
        pools = Pools()
        assert await pools.database(divmod, 7, 2) == (3, 1)
        with pytest.raises(NotFound):
            await pools.store(1, refuse)
        pools.close()

    def refuse() -> None:
        raise NotFound("no")

    asyncio.run(main())


def test_a_store_that_hangs_stops_neither_the_database_nor_another_store() -> None:
    hang = threading.Event()

    async def main() -> None:
        pools = Pools(store_threads=2, waiting=3)
        hung = [asyncio.ensure_future(pools.store(1, hang.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        assert await pools.store(2, abs, -1) == 1
        assert await pools.database(abs, -1) == 1
        with pytest.raises(Unavailable, match="too many requests wait for store 1"):
            await pools.store(1, abs, -1)
        hang.set()
        assert await asyncio.gather(*hung) == [True] * 5
        assert await pools.store(1, abs, -1) == 1
        pools.close()

    asyncio.run(main())


def test_a_call_that_nobody_waits_for_any_more_gives_up_its_place() -> None:
    hang = threading.Event()
    ran: list[int] = []

    async def main() -> None:
        pool = Pool("a store", threads=1, waiting=1)
        running = asyncio.ensure_future(pool.run(hang.wait))
        waiting = asyncio.ensure_future(pool.run(ran.append, 1))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await pool.run(ran.append, 2)
        waiting.cancel()
        await asyncio.sleep(0)
        last = asyncio.ensure_future(pool.run(ran.append, 3))
        await asyncio.sleep(0)
        hang.set()
        await asyncio.gather(running, last)
        pool.close()

    asyncio.run(main())
    assert ran == [3]


def test_a_pool_that_is_closed_takes_no_calls() -> None:
    async def main() -> None:
        pool = Pool("a store", threads=1, waiting=1)
        pool.close()
        with pytest.raises(Unavailable):
            await pool.run(abs, -1)

    asyncio.run(main())


def test_a_stream_gathers_small_pieces_and_passes_large_ones_on() -> None:
    async def main() -> list[bytes]:
        pool = Pool("a store", threads=2, waiting=1)
        pieces = iter([b"ab", b"c", b"defgh", b"i"])
        chunks = [chunk async for chunk in pool.stream(pieces, size=3)]
        pool.close()
        return chunks

    assert asyncio.run(main()) == [b"abc", b"defgh", b"i"]


def test_a_stream_reads_at_most_one_chunk_ahead_and_is_closed_when_abandoned() -> None:
    produced: list[int] = []
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            for number in range(100):
                produced.append(number)
                yield b"x" * 10
        finally:
            closed.set()

    async def main() -> None:
        pool = Pool("a store", threads=2, waiting=1)
        chunks = pool.stream(pieces(), size=10, largest=10)
        assert await anext(chunks) == b"x" * 10
        assert await anext(chunks) == b"x" * 10
        await pool.run(abs, -1)
        await chunks.aclose()
        await asyncio.to_thread(closed.wait)
        pool.close()

    asyncio.run(main())
    assert len(produced) <= 3


def test_a_stream_gives_more_at_once_only_to_who_takes_it_quickly() -> None:
    async def main() -> int:
        pool = Pool("a store", threads=1, waiting=1)
        chunks = pool.stream(iter([b"x" * 10] * 100), size=20, largest=80)
        sizes = []
        async for chunk in chunks:
            sizes.append(len(chunk))
            if len(sizes) % 2:
                await asyncio.sleep(0.1)
        pool.close()
        return max(sizes)

    assert asyncio.run(main()) == 40


def test_what_a_call_returned_is_gone_with_who_asked_for_it() -> None:
    """Without waiting for the collector: pieces of files come by here."""

    class Piece:
        pass

    async def main() -> "weakref.ref[Piece]":
        pool = Pool("a store", threads=1, waiting=1)
        piece = weakref.ref(await pool.run(Piece))
        pool.close()
        return piece

    gc.disable()
    try:
        piece = asyncio.run(main())
        until = time.monotonic() + 5
        while piece() and time.monotonic() < until:  # the thread lets go of it a moment later
            time.sleep(0.01)
        assert piece() is None
    finally:
        gc.enable()


def test_a_stream_that_is_abandoned_in_the_middle_of_a_read_is_closed_after_it() -> None:
    reading, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            reading.set()
            go_on.wait()
            yield b"late"
        finally:
            closed.set()

    async def main() -> None:
        pool = Pool("a store", threads=1, waiting=1)
        first = asyncio.ensure_future(anext(pool.stream(pieces(), size=1)))
        await asyncio.to_thread(reading.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not closed.is_set()
        go_on.set()
        await asyncio.to_thread(closed.wait)
        pool.close()

    asyncio.run(main())


def test_a_stream_hands_on_the_error_of_its_source() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begun"
        raise Unavailable("gone")

    async def main() -> None:
        pool = Pool("a store", threads=1, waiting=1)
        chunks = pool.stream(pieces(), size=1)
        assert await anext(chunks) == b"begun"
        with pytest.raises(Unavailable, match="gone"):
            await anext(chunks)
        pool.close()

    asyncio.run(main())
