"""The DIMSE port: accepts connections, a thread for each; a slow or hostile peer holds only its own."""

import logging
import socket
import ssl
import threading
import time
from contextlib import suppress

from kahu.dimse import association
from kahu.dimse.association import ARTIM
from kahu.errors import AssociationLost
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
        self._threads: set[threading.Thread] = set()
        self._sessions: set[Session] = set()

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
        self._interrupt(idle_only=True)
        self._join(GRACE)
        self._interrupt(idle_only=False)
        self._join(1.0)

    def _interrupt(self, *, idle_only: bool) -> None:
        with self._turn:
            for session in self._sessions:
                if not (idle_only and session.busy):
                    session.interrupt()

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(until - time.monotonic(), 0))

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connected, address = self._listening.accept()
            except OSError as error:
                if not self._closing.is_set():
                    log.warning("a connection could not be accepted: %s", error.strerror)
                    time.sleep(0.1)
                continue
            if len(self._threads) >= MOST_CONNECTIONS:
                connected.close()
                continue
            thread = threading.Thread(
                target=self._serve, args=(connected, address[0]), name=f"dimse {address[0]}", daemon=True
            )
            with self._turn:
                self._threads.add(thread)
            thread.start()

    def _serve(self, connected: socket.socket, address: str) -> None:
        try:
            with connected if self._tls is None else self._secured(connected, self._tls) as sock:
                self._associate(sock, address)
        except (AssociationLost, OSError) as error:
            log.info("association with %s ended: %s", address, error)
        finally:
            with self._turn:
                self._threads.discard(threading.current_thread())

    def _secured(self, connected: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """The connection, after a handshake that lasts no longer than `ARTIM`."""
        connected.settimeout(ARTIM)
        watch = threading.Timer(ARTIM, lambda: socket.socket.shutdown(connected, socket.SHUT_RDWR))
        watch.daemon = True
        watch.start()
        try:
            return tls.wrap_socket(connected, server_side=True)
        except OSError:
            connected.close()
            raise
        finally:
            watch.cancel()

    def _associate(self, sock: socket.socket, address: str) -> None:
        admission = Admission(self._services.settings, self._services.peers, address, self._has_room)
        accepted = association.accept(sock, admission)
        if accepted is None:
            return
        session = Session(self._services, accepted, admission.caller)
        with self._turn:
            self._sessions.add(session)
        try:
            log.info("association with %s", admission.caller.who)
            session.run(self._closing)
        finally:
            accepted.abort()
            with self._turn:
                self._sessions.discard(session)

    def _has_room(self) -> bool:
        return len(self._sessions) < MOST_ASSOCIATIONS and not self._closing.is_set()
