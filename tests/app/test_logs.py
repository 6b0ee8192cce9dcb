"""The log in the home."""

import logging
from pathlib import Path

from kahu.logs import write_logs
from kahu.settings import Settings


def test_a_log_that_has_grown_is_put_aside_as_it_is_written(tmp_path: Path) -> None:
    write_logs(Settings(home=tmp_path))
    logger = logging.getLogger("kahu.test")
    log = tmp_path / "kahu.log"
    logger.info("it begins")
    with log.open("a") as grown:
        grown.write("x" * (11 << 20))
    for _ in range(2000):
        logger.info("it goes on")
    assert log.stat().st_size < 1 << 20
    assert (tmp_path / "kahu.log.1").read_text().count("it goes on") > 0
