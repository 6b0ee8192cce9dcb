"""What Kahu writes down of its work, for who runs it: a file in the home, kept small."""

import logging
import logging.handlers
from itertools import count
from pathlib import Path

from kahu.settings import Settings

_LOOK = 1000
"""records after which a log's size is looked at: each look costs as much as writing one"""


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log that is left out, and not cried over on the terminal, while its disk is full."""

    def __init__(self, path: Path, size: int, backups: int) -> None:
        super().__init__(path, maxBytes=size, backupCount=backups, delay=True)
        self._records = count()

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        return next(self._records) % _LOOK == 0 and bool(super().shouldRollover(record))

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def write_logs(settings: Settings) -> None:
    """Logs go to a file in the home that is kept small; they name no patients and no tokens."""
    settings.home.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(settings.home / "kahu.log", size=10 << 20, backups=3)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name, level in (("kahu", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    # Libraries speak of what they read, which is of patients, and of what others send: to nobody.
    logging.getLogger().addHandler(logging.NullHandler())
