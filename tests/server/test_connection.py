"""Connections whose other side stalls: they end, and nobody else notices."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kahu.server import connection

HEAD = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that has little patience."""

    async def small(request: Request) -> Response:
        await request.body()
        return PlainTextResponse("here")

    async def large(_request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield bytes(1 << 20)

        return StreamingResponse(chunks())

    patched = pytest.MonkeyPatch()
    patched.setattr(connection, "HEAD", 0.5)
    patched.setattr(connection, "STALL", 0.5)
    app = Starlette(routes=[Route("/small", small, methods=["GET", "POST"]), Route("/large", large)])
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=connection.Connection, log_config=None, lifespan="off", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()
    patched.undo()


def until_closed(side: socket.socket) -> int:
    """Reads until the server ends the connection; how many bytes came before. TimeoutError: it does not."""
    side.settimeout(20)
    length = 0
    try:
        while data := side.recv(1 << 20):
            length += len(data)
    except ConnectionResetError:
        pass
    return length


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /sm",
        b"GET /small HTTP/1.1\r\nHost: x\r\n",
        HEAD + b"\r\n",
        HEAD + b"GET /small HTTP/1.1\r\n",
        b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
    ],
)
def test_who_does_not_go_on_speaking_is_hung_up_on(port: int, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as side:
        side.sendall(said)
        assert until_closed(side) < 1000


def test_who_does_not_listen_is_hung_up_on(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as side:
        side.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
        assert until_closed(side) < 100 << 20


def test_who_is_slow_but_goes_on_gets_everything(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as side:
        side.sendall(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\n")
        for byte in b"12345678":
            time.sleep(0.2)
            side.sendall(bytes([byte]))
        answer = b""
        while data := side.recv(4096):
            answer += data
    assert answer.endswith(b"here")
