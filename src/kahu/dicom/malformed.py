"""What happens where an object does not hold what the standard says: one error, instead of whatever came
first.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.errors import BytesLengthException

from kahu.errors import BrokenDicom

__all__ = ["MALFORMED", "understood"]

MALFORMED = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)
"""What a value that is missing, cut off or of another kind raises: in pydicom, which reads it late, or where
it is used.
"""


@contextmanager
def understood(what: str) -> Iterator[None]:
    """BrokenDicom, where `what` was being read and could not be: for a block, or as a decorator."""
    try:
        yield
    except MALFORMED as error:
        raise BrokenDicom(f"{what} makes no sense", "look at its attributes") from error
