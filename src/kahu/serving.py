"""Kahu at work behind a socket: opened, run until it is asked to end, closed."""

import errno
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import uvicorn

from kahu.access.tokens import Tokens
from kahu.app import Kahu
from kahu.db import Database
from kahu.dimse.tls import server_context
from kahu.errors import KahuError
from kahu.server.app import create
from kahu.server.connection import MOST, Connection
from kahu.server.dimse.listener import Listener
from kahu.server.memory import keep_freed
from kahu.settings import Settings

GRACE = 3
"""seconds that open requests are given when the server stops"""


@dataclass(frozen=True)
class Opened:
    """A server whose doors are open."""

    kahu: Kahu
    url: str
    dimse_port: int | None
    """where it accepts associations; None: nowhere"""
    end: Callable[[], None]
    """asks it to stop, from any thread"""


def bind(settings: Settings) -> socket.socket:
    """The listening socket of the web server. KahuError says who could be in the way."""
    return _listen(settings.host, settings.port, "--port")


def _listen(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise KahuError(
                f"port {port} of {host} is in use by another program",
                f"choose another with {option}, for example {option} {port + 1}",
            ) from error
        raise KahuError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            f"check {option.replace('port', 'host')} and {option}",
        ) from error
    listening.listen(512)
    return listening


def need_token(settings: Settings) -> None:
    """A server that others can reach does not start before somebody has a token."""
    if settings.loopback:
        return
    database = Database(settings.database_url)
    try:
        database.create()
        now = time.time()
        if not any(one.expires > now and not (one.task or one.revoked) for one in Tokens(database).list()):
            raise KahuError(
                f"{settings.host} can be reached by others, and nobody has a token yet",
                "make one first: kahu token add NAME",
            )
    finally:
        database.close()


def serve(settings: Settings, ready: Callable[[Opened], None]) -> None:
    """Runs the server until SIGINT or SIGTERM. `ready` is called, in a thread of its own, once the doors are
    open."""
    need_token(settings)
    keep_freed()
    with _prepared(settings, ready) as (server, listening):
        for wish in (signal.SIGINT, signal.SIGTERM):
            # uvicorn has its own handlers while it runs, and raises the signal again when it has stopped
            signal.signal(wish, lambda *_: server.end())
        server.run(sockets=[listening])


@contextmanager
def private(settings: Settings) -> Iterator[str]:
    """A server for one command, in a thread, on a free port of loopback; gives its URL."""
    opened = threading.Event()
    settings = replace(settings, host="127.0.0.1", port=0, dimse_port=None)
    with _prepared(settings, lambda _: opened.set()) as (server, listening):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            opened.wait(30)
            yield address(listening)
        finally:
            server.end()
            thread.join(GRACE + 2)


@contextmanager
def _prepared(
    settings: Settings, ready: Callable[[Opened], None]
) -> "Iterator[tuple[_Server, socket.socket]]":
    """A server and its socket; both, and all that works behind them, are closed afterwards."""
    with ExitStack() as stack:
        listening = stack.enter_context(bind(settings))
        associations = _dimse(settings)
        if associations:
            stack.enter_context(associations)
            settings = replace(settings, dimse_port=associations.getsockname()[1])
        tls = server_context(settings)
        kahu = Kahu(settings)
        stack.callback(kahu.close)
        door = None
        if associations:
            door = Listener(kahu.services, associations, tls)
            stack.callback(door.close)
        yield _server(kahu, address(listening), door, ready), listening


def _dimse(settings: Settings) -> socket.socket | None:
    """The socket that listens for associations, if there is to be one. KahuError."""
    if settings.dimse_port is None:
        return None
    return _listen(settings.dimse_host, settings.dimse_port, "--dimse-port")


def address(listening: socket.socket) -> str:
    """The URL of a listening socket; of loopback where it listens everywhere."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when its doors are open and ends streams that would never end."""

    def __init__(
        self, config: uvicorn.Config, opened: Callable[[], None], closing: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._opened = opened
        self._closing = closing

    def end(self) -> None:
        """Asks it to stop, from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()
        await super().shutdown(sockets)


def _server(kahu: Kahu, url: str, door: Listener | None, ready: Callable[[Opened], None]) -> _Server:
    def opened() -> None:
        kahu.start(url)
        if door:
            door.start()
        told = Opened(kahu, url, door.port if door else None, server.end)
        threading.Thread(target=ready, args=(told,), daemon=True, name="ready").start()

    config = uvicorn.Config(
        create(kahu.services),
        http=Connection,
        limit_concurrency=MOST,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, opened, kahu.services.closing.set)
    return server
