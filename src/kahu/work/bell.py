"""A bell that rings in this process: who waits for news need not ask the database over and over."""

import threading


class Bell:
    """Counts its rings, so that nobody misses one between looking and waiting."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung so far."""
        return self._rings

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, seconds: float) -> int:
        """Waits until it has rung more than `heard` times, or for so many seconds; returns how often it has
        rung."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings > heard, seconds)
            return self._rings
