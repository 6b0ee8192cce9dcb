"""The DIMSE port: accepts connections, a thread for each; a slow or hostile peer holds only its own."""

import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from kahu.dimse import association
from kahu.dimse.association import ARTIM
from kahu.errors import AssociationLost, KahuError
from kahu.server.dimse.admission import Admission
from kahu.server.dimse.session import Session
from kahu.server.services import Services

log = logging.getLogger(__name__)

MOST_ASSOCIATIONS = 128
"""at a time; more are rejected (local limit exceeded)"""
MOST_CONNECTIONS = 512
"""at a time, those included that have not asked for an association yet; more are closed at once"""

GRACE = 3.0
"""seconds that operations are given when the server stops"""


@dataclass(eq=False)
class _Connection:
    """Somebody who has connected, and the thread that serves it."""

    sock: socket.socket
    address: str
    thread: threading.Thread = field(init=False)
    session: Session | None = None
    """once an association has been accepted"""

    def interrupt(self) -> None:
        """Ends what it waits for, from another thread."""
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RD)


class Listener:
    """Serves associations on a socket that listens, from `start` to `close`."""

    def __init__(
        self, services: Services, listening: socket.socket, tls: ssl.SSLContext | None = None
    ) -> None:
        self._services = services
        self._listening = listening
        self._tls = tls
        self._closing = threading.Event()
        self._turn = threading.Lock()
        self._connections: set[_Connection] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def start(self) -> None:
        """Begins to accept."""
        threading.Thread(target=self._accept, name="dimse", daemon=True).start()

    def close(self) -> None:
        """Accepts no more, lets operations end for a while, and aborts what is left."""
        self._closing.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # which wakes `accept`
        self._end(lambda one: one.session is None or not one.session.busy, GRACE)
        self._end(lambda _: True, 1.0)

    def _end(self, which: Callable[[_Connection], bool], seconds: float) -> None:
        """Interrupts some connections, and waits a while until there are none."""
        until = time.monotonic() + seconds
        with self._turn:
            connections = list(self._connections)
        for connection in filter(which, connections):
            connection.interrupt()
        for connection in connections:
            connection.thread.join(max(until - time.monotonic(), 0))

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, address = self._listening.accept()
            except OSError as error:
                if not self._closing.is_set():
                    log.warning("a connection could not be accepted: %s", error.strerror)
                    time.sleep(0.1)
                continue
            connection = _Connection(sock, _ip(address[0]))
            connection.thread = threading.Thread(
                target=self._serve, args=(connection,), name=f"dimse {connection.address}", daemon=True
            )
            with self._turn:  # whose thread has begun is among the connections: `close` ends all of them
                if self._closing.is_set() or len(self._connections) >= MOST_CONNECTIONS:
                    sock.close()
                    continue
                try:
                    connection.thread.start()
                except RuntimeError as error:  # no more threads on this computer
                    log.warning("a connection could not be served: %s", error)
                    sock.close()
                    continue
                self._connections.add(connection)

    def _serve(self, connection: _Connection) -> None:
        try:
            if self._tls:
                self._secure(connection, self._tls)
            self._associate(connection)
        except (AssociationLost, OSError) as error:
            log.info("association with %s ended: %s", connection.address, error)
        except KahuError as error:
            log.warning("no association with %s: %s", connection.address, error)
        finally:
            connection.sock.close()
            with self._turn:
                self._connections.discard(connection)

    def _secure(self, connection: _Connection, tls: ssl.SSLContext) -> None:
        """Speaks TLS from now on; the handshake lasts no longer than `ARTIM`."""
        plain = connection.sock
        plain.settimeout(ARTIM)
        connection.sock = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        watch = threading.Timer(ARTIM, connection.interrupt)
        watch.daemon = True
        watch.start()
        try:
            connection.sock.do_handshake()
        finally:
            watch.cancel()

    def _associate(self, connection: _Connection) -> None:
        admission = Admission(
            self._services.settings, self._services.peers, connection.address, self._has_room
        )
        accepted = association.accept(connection.sock, admission)
        if accepted is None:
            return
        log.info("association with %s", admission.caller.who)
        connection.session = Session(self._services, accepted, admission.caller)
        try:
            connection.session.run(self._closing)
        finally:
            accepted.abort()

    def _has_room(self) -> bool:
        with self._turn:
            accepted = sum(connection.session is not None for connection in self._connections)
        return accepted < MOST_ASSOCIATIONS and not self._closing.is_set()


def _ip(address: str) -> str:
    """An IPv4 address as such, though it comes through a socket for IPv6, too: as peers' addresses are written."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
