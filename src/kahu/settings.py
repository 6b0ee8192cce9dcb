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
        return self.host in {"127.0.0.1", "localhost", "::1"} or self.host.startswith("127.")
