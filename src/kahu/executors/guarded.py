"""Kahu's side of the guard: starts it, stops it, hears how it went."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import BinaryIO

from kahu.executors import guard
from kahu.executors.guard import Outcome, Spec

_STOP = 8.0  # seconds that a guard is given to end what it guards, before it is killed itself
_LOOK = 0.1  # seconds between two looks whether to stop


def run(spec: Spec, env: Mapping[str, str], log: BinaryIO, cancelled: threading.Event) -> Outcome:
    """Runs a program under guard and waits for it. Its standard output and error go to `log`.

    Must be called from a thread that lives as long as the program: it dies with the thread that started it.
    """
    reading, telling = os.pipe()
    with os.fdopen(reading, "rb") as heard:
        spec = replace(spec, parent=os.getpid(), tell=telling)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, json.dumps(asdict(spec))],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(telling,),
                start_new_session=True,
            )
        finally:
            os.close(telling)
        stop_by = None
        while not select.select([heard], [], [], _LOOK)[0]:
            if cancelled.is_set() and stop_by is None:
                process.terminate()
                stop_by = time.monotonic() + _STOP
            elif stop_by is not None and time.monotonic() > stop_by:
                process.kill()
        said = heard.read()
        code = process.wait()
    if not said:  # somebody killed the guard, and by that the program
        return Outcome("cancelled") if cancelled.is_set() else Outcome(exit_code=code)
    return Outcome(**json.loads(said))
