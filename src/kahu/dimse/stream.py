"""Bytes over a blocking socket, plain or TLS: read into one buffer that is used again and again, written without
being copied; no read and no write lasts for ever."""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Sequence

from kahu.errors import AssociationLost

Buffer = bytes | memoryview

BUFFER = 256 << 10

_LINGER = 2.0  # seconds that are given to a peer to read our last words
_MOST_PIECES = 512  # of one system call; less than IOV_MAX


class Stream:
    """One connection. `timeout`: seconds after which a peer that neither sends nor reads is given up."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.timeout = timeout
        self._socket = sock
        self._sends_pieces = not isinstance(sock, ssl.SSLSocket)
        self._view = memoryview(bytearray(BUFFER))
        self._start = self._end = 0
        self._until: float | None = None
        sock.settimeout(timeout)
        with contextlib.suppress(OSError):  # it is a wish, and tests speak through sockets that have no TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def limit(self, seconds: float | None) -> None:
        """All reads together must end within so many seconds from now; None: each within `timeout` again.

        A peer that sends a byte now and then would otherwise never be silent.
        """
        self._until = None if seconds is None else time.monotonic() + seconds
        self._socket.settimeout(self.timeout)

    def take(self, length: int) -> memoryview:
        """The next `length` bytes (no more than `BUFFER`). Valid until the next read. AssociationLost."""
        while self._end - self._start < length:
            self._fill()
        view = self._view[self._start : self._start + length]
        self._start += length
        return view

    def some(self, most: int) -> memoryview:
        """The next bytes, at least one and no more than `most`. Valid until the next read. AssociationLost."""
        if self._start == self._end:
            self._fill()
        end = min(self._start + most, self._end)
        view = self._view[self._start : end]
        self._start = end
        return view

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read (the end of the connection, too) within so many seconds."""
        if self._start < self._end or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return True
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
        except ValueError:  # closed by another thread
            return True
        return bool(poll.poll(seconds * 1000))

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Sends all of `pieces`. AssociationLost."""
        try:
            if self._sends_pieces:
                for at in range(0, len(pieces), _MOST_PIECES):
                    self._send(pieces[at : at + _MOST_PIECES])
            else:
                self._socket.sendall(b"".join(pieces))
        except TimeoutError:
            raise AssociationLost("the peer takes no more data") from None
        except OSError as error:
            raise _lost(error) from error

    def end(self) -> None:
        """Closes the connection so that the peer can still read what was sent last. What it sends is not heard."""
        try:
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            self.limit(_LINGER)
            while True:
                self._start = self._end
                self._fill()
        except (OSError, AssociationLost):
            pass
        finally:
            self._socket.close()

    def close(self) -> None:
        """Closes the connection; for the one who has been told that the peer is done."""
        self._socket.close()

    def interrupt(self) -> None:
        """Ends all reads, from another thread."""
        with contextlib.suppress(OSError):
            # not SSLSocket's own, which would take the TLS layer from under the thread that reads
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def _send(self, pieces: Sequence[Buffer]) -> None:
        sent = self._socket.sendmsg(pieces)
        for piece in pieces:
            if sent < len(piece):
                self._socket.sendall(memoryview(piece)[max(sent, 0) :])
            sent -= len(piece)

    def _fill(self) -> None:
        """Reads more into the buffer; what is in it moves to its front where it must."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._view):
            rest = bytes(self._view[self._start : self._end])
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        try:
            if self._until is not None:
                self._socket.settimeout(max(self._until - time.monotonic(), 0.001))
            received = self._socket.recv_into(self._view[self._end :])
        except TimeoutError:
            raise AssociationLost("the peer has fallen silent") from None
        except OSError as error:
            raise _lost(error) from error
        if not received:
            raise AssociationLost("the peer has closed the connection")
        self._end += received


def _lost(error: OSError) -> AssociationLost:
    return AssociationLost(f"the connection to the peer is broken: {error.strerror or 'TLS'}")
