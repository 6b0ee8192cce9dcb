"""Data elements as they lie in bytes: tags, VRs, lengths, where a sequence ends (PS3.5 §7). Little endian.

A tag is handled here as its four bytes read as one little endian number, ``element << 16 | group``: that is
what one `struct` call gives. `tag_of_key` turns it into the usual ``group << 16 | element``.
"""

import struct
from collections.abc import Container, Iterator

UNDEFINED = 0xFFFFFFFF

# VRs with a 16-bit length, and those with two reserved bytes and a 32-bit length (PS3.5 §7.1.2).
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

# Bytes of one number, for VRs whose values are turned round with the byte order (PS3.5 §7.3).
NUMBER_SIZES = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}

explicit = struct.Struct("<I2sH").unpack_from  # key, VR, 16-bit length
implicit = struct.Struct("<II").unpack_from  # key, 32-bit length
uint32 = struct.Struct("<I").unpack_from


def key_of_tag(tag: int) -> int:
    return (tag & 0xFFFF) << 16 | tag >> 16


def tag_of_key(key: int) -> int:
    return (key & 0xFFFF) << 16 | key >> 16


def looks_like_vr(two: bytes) -> bool:
    """Whether these bytes of an element are a VR, known or not; in implicit VR they are part of a length."""
    return two.isalpha() and two.isupper()


ITEM = key_of_tag(0xFFFEE000)
ITEM_END = key_of_tag(0xFFFEE00D)
SEQUENCE_END = key_of_tag(0xFFFEE0DD)
DELIMITERS = frozenset({ITEM, ITEM_END, SEQUENCE_END})


def turned(value: bytes, width: int) -> bytes:
    """The bytes of each number of `width` bytes in the other order; a rest that is no number stays."""
    out = bytearray(value)
    whole = len(value) - len(value) % width
    for i in range(width):
        out[i:whole:width] = value[width - 1 - i : whole : width]
    return bytes(out)


class Odd(Exception):
    """Not encoded as PS3.5 says: a more patient reader may still understand it."""


def header(data: bytes, at: int, is_implicit: bool) -> tuple[int, bytes, int, int]:
    """The key, VR (b"" in implicit VR), length and value's position of the element that begins at `at`.

    Odd: that is no VR. struct.error: the data end before.
    """
    if is_implicit:
        key, length = implicit(data, at)
        return key, b"", length, at + 8
    key, vr, length = explicit(data, at)
    if vr in SHORT:
        return key, vr, length, at + 8
    if vr in LONG:
        return key, vr, uint32(data, at + 8)[0], at + 12
    raise Odd("no VR where one should be")


def sequence_end(data: bytes, at: int, is_implicit: bool) -> int:
    """Behind the delimiter of a sequence of undefined length whose first item begins at `at`.

    -1: the data end before. Odd: these are no items.
    """
    return _delimited(data, at, is_implicit, in_item=False)


def elements(
    data: bytes, at: int, end: int, is_implicit: bool, absent: Container[int] = ()
) -> Iterator[tuple[int, bytes, int, int]]:
    """The elements of `data[at:end]`: key, VR, where the value begins and ends (with its delimiter, if any).

    `absent`: positions of values that are not there though their length says so. Odd: they cannot be read.
    """
    while at < end:
        try:
            key, vr, length, start = header(data, at, is_implicit)
        except struct.error:
            raise Odd("it ends within an element") from None
        if length == UNDEFINED:
            at = sequence_end(data, start, is_implicit)
            if at < 0:
                raise Odd("a sequence without an end")
        else:
            at = start if start in absent else start + length
        if at > end or key in DELIMITERS:
            raise Odd("a value beyond the end")
        yield key, vr, start, at


def items(data: bytes, at: int, end: int, is_implicit: bool) -> Iterator[tuple[int, int, bool]]:
    """The items of a sequence `data[at:end]`: where the elements of each begin and end, and whether they are
    implicit VR. `is_implicit`: the data set around them is. Odd: these are no items.
    """
    while at + 8 <= end:
        key, length = implicit(data, at)
        at += 8
        if key == SEQUENCE_END:
            return
        if key != ITEM:
            raise Odd("no item where one should be")
        item_implicit = _is_implicit(data, at, is_implicit)
        if length == UNDEFINED:
            behind = _delimited(data, at, item_implicit, in_item=True)
            stop = behind - 8
        else:
            behind = stop = at + length
        if not at <= stop <= end:
            raise Odd("an item beyond the end")
        yield at, stop, item_implicit
        at = behind
    if data[at:end].strip(b"\0"):
        raise Odd("bytes behind the last item")


def _is_implicit(data: bytes, at: int, around: bool) -> bool:
    """Whether the item whose first element is at `at` is implicit VR, as pydicom finds out: in a data set that
    is, all are; in explicit ones those in UN are (PS3.5 §6.2.2), or should be, and those of some writers.
    """
    return around or not looks_like_vr(data[at + 4 : at + 6])


def _delimited(data: bytes, at: int, is_implicit: bool, in_item: bool) -> int:
    """Behind the delimiter that ends the sequence, or the item, in which `at` is. Nesting is no recursion."""
    n = len(data)
    open_sets = [is_implicit, is_implicit]  # of each data set around `at`, whether it is implicit VR
    only_item = in_item
    try:
        while True:
            key, length = implicit(data, at)
            if not in_item:
                at += 8
                if key == ITEM:
                    open_sets[-1] = _is_implicit(data, at, open_sets[-2])
                    if length == UNDEFINED:
                        in_item = True
                    else:
                        at += length
                elif key == SEQUENCE_END:
                    open_sets.pop()
                    if len(open_sets) == 1:
                        return at if at <= n else -1
                    in_item = True
                else:
                    raise Odd("no item where one should be")
            elif key == ITEM_END:
                at += 8
                in_item = False
                if only_item and len(open_sets) == 2:
                    return at
            elif key in DELIMITERS:
                raise Odd("an item without an end")
            else:
                _, vr, length, at = header(data, at, open_sets[-1])
                if length != UNDEFINED:
                    at += length
                elif vr in (b"", b"SQ", b"UN"):
                    open_sets.append(False)
                    in_item = False
                else:
                    raise Odd("undefined length")
    except struct.error:
        return -1
