"""Memory that is kept for what comes next."""

import ctypes
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kahu.server.memory import keep_freed

MEGABYTE = 1 << 20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_what_a_thread_has_freed_is_used_again_without_fresh_pages() -> None:
    told = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    faults = int(told.stdout)
    pages = 160 * MEGABYTE // resource.getpagesize()
    assert faults < pages / 4


def use() -> None:
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        for _ in range(20):
            pieces = [os.read(zeros.fileno(), MEGABYTE) for _ in range(8)]
            del pieces


if __name__ == "__main__":
    keep_freed()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
