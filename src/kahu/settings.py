"""What can be configured, where it is read from, and what holds when nothing is said.

The order is: command line, environment (``KAHU_*``), defaults. Everything that Kahu writes lies under `home`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 8010

HOME_MARK = "KAHU-HOME"
"""a file in every home, by which folders that are looked through leave out what Kahu itself keeps"""


def default_home() -> Path:
    """``$KAHU_HOME``, or ``~/.kahu``."""
    return Path(os.environ.get("KAHU_HOME") or Path.home() / ".kahu").expanduser()


@dataclass(frozen=True)
class Settings:
    """One server's configuration."""

    home: Path = field(default_factory=default_home)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    db: str = ""
    """SQLAlchemy URL of the catalogue; empty: a SQLite file in `home`."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names by which the server may be addressed besides loopback's and `host`."""

    dimse_port: int | None = None
    """where DICOM associations are accepted; None: nowhere"""
    dimse_host: str = "127.0.0.1"
    """address to accept them on; other than loopback, peers that are not known are refused"""
    aet: str = "KAHU"
    """our AE title"""
    dimse_tls_cert: Path | None = None
    """certificate (PEM, with those between it and its authority); with it, DIMSE is spoken over TLS only"""
    dimse_tls_key: Path | None = None
    """its private key; None: in the same file"""
    dimse_tls_ca: Path | None = None
    """authorities (PEM) whose certificates are trusted; with them, who calls must show a certificate, too"""

    @property
    def database_url(self) -> str:
        return self.db or f"sqlite:///{self.home / 'catalog.db'}"

    @property
    def owned(self) -> Path:
        """The folder of the store that Kahu owns: what was sent here, and results."""
        return self.home / "store"

    @property
    def jobs(self) -> Path:
        """A folder for each attempt at a task: its inputs, outputs and log."""
        return self.home / "jobs"

    @property
    def environments(self) -> Path:
        """Environments of tools, made once, shared by digest."""
        return self.home / "environments"

    @property
    def tools(self) -> Path:
        """Tools that were added by people."""
        return self.home / "tools"

    @property
    def cache(self) -> Path:
        """What can be thrown away at any time: thumbnails."""
        return self.home / "cache"

    @property
    def loopback(self) -> bool:
        """Whether only this computer can reach the server."""
        return is_loopback(self.host)

    @property
    def dimse_loopback(self) -> bool:
        """Whether only this computer can reach the DIMSE port."""
        return is_loopback(self.dimse_host)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this computer only."""
    return host in {"127.0.0.1", "localhost", "::1"} or host.startswith("127.")
