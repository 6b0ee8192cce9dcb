"""Memory that has been freed is kept for what comes next.

What is read and sent comes in pieces of about a megabyte. glibc would give each back to the system and take it anew:
to have fresh pages costs four times as much as to fill them.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""names of mallopt(3)"""

_KEPT = 32 << 20
_PIECE = 4 << 20
"""bytes that are taken from what is kept; what is larger goes back at once"""


def keep_freed() -> None:
    """Keeps at most `_KEPT` bytes that nobody uses, for all threads together. To be called before they start. It does
    nothing where the C library is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _PIECE)
        mallopt(_TRIM_THRESHOLD, _KEPT)
