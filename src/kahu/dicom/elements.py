"""Data elements as they lie in bytes: tags, VRs, lengths, where a sequence ends (PS3.5 §7). Little endian.

A tag is handled here as its four bytes read as one little endian number, ``element << 16 | group``: that is
what one `struct` call gives. `tag_of_key` turns it into the usual ``group << 16 | element``.
"""

import struct

UNDEFINED = 0xFFFFFFFF

# VRs with a 16-bit length, and those with two reserved bytes and a 32-bit length (PS3.5 §7.1.2).
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

explicit = struct.Struct("<I2sH").unpack_from  # key, VR, 16-bit length
implicit = struct.Struct("<II").unpack_from  # key, 32-bit length
uint32 = struct.Struct("<I").unpack_from


def key_of_tag(tag: int) -> int:
    return (tag & 0xFFFF) << 16 | tag >> 16


def tag_of_key(key: int) -> int:
    return (key & 0xFFFF) << 16 | key >> 16


ITEM = key_of_tag(0xFFFEE000)
ITEM_END = key_of_tag(0xFFFEE00D)
SEQUENCE_END = key_of_tag(0xFFFEE0DD)
DELIMITERS = frozenset({ITEM, ITEM_END, SEQUENCE_END})


class Odd(Exception):
    """Not encoded as PS3.5 says: a more patient reader may still understand it."""


def header(data: bytes, at: int, is_implicit: bool) -> tuple[int, str, int, int]:
    """The key, VR ("" in implicit VR), length and value's position of the element that begins at `at`.

    Odd: that is no VR. struct.error: the data end before.
    """
    if is_implicit:
        key, length = implicit(data, at)
        return key, "", length, at + 8
    key, vr, length = explicit(data, at)
    if vr in SHORT:
        return key, vr.decode(), length, at + 8
    if vr in LONG:
        return key, vr.decode(), uint32(data, at + 8)[0], at + 12
    raise Odd("unknown VR")


def sequence_end(data: bytes, at: int, is_implicit: bool) -> int:
    """Behind the delimiter of a sequence of undefined length whose first item begins at `at`.

    -1: the data end before. Odd: these are no items. Nesting costs no recursion.
    """
    n = len(data)
    levels = [is_implicit]  # of each sequence that is open
    in_item = False
    try:
        while True:
            if not in_item:
                key, length = implicit(data, at)
                at += 8
                if key == ITEM:
                    if length == UNDEFINED:
                        in_item = True
                    else:
                        at += length
                elif key == SEQUENCE_END:
                    levels.pop()
                    if not levels:
                        return at if at <= n else -1
                    in_item = True
                else:
                    raise Odd("no item where one should be")
                continue
            key, _ = implicit(data, at)
            if key == ITEM_END:
                at += 8
                in_item = False
                continue
            if key in (ITEM, SEQUENCE_END):
                raise Odd("an item without an end")
            _, vr, length, at = header(data, at, levels[-1])
            if length != UNDEFINED:
                at += length
            elif vr in ("", "SQ", "UN"):
                levels.append(levels[-1] or vr == "UN")  # UN of undefined length holds implicit VR: §6.2.2
                in_item = False
            else:
                raise Odd("undefined length")
    except struct.error:
        return -1
