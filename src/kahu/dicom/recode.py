"""Frames from one transfer syntax to another: which ways there are, and what an image is called at their end.

Where the standard leaves it to the sender whether something is lost, nothing is (PS3.5 §8.2).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kahu.dicom.encode import encode, encoded_facts, fits, jpeg_in_xl
from kahu.dicom.facts import PixelFacts
from kahu.dicom.pixels import colour_of, jpeg_of_xl, laid_out, native, stored
from kahu.dicom.rle import run_lengths, run_lengths_undone
from kahu.dicom.syntaxes import JPEG, JPEG_BASELINE, JPEG_IN_XL, KNOWN, RLE, encapsulated
from kahu.errors import NotAcceptable

__all__ = ["Way", "can_give", "frame_in", "leads", "not_acceptable", "way_between"]

# Every frame of these is one of that as it is.
_CONTAINED = {
    f"{JPEG}{general}": frozenset(f"{JPEG}{one}" for one in special)
    for general, special in (
        (57, (70,)),
        (81, (80,)),
        (91, (90,)),
        (112, (110, 111)),
        (201, (202,)),
        (203, (201, 202)),
    )
}


@dataclass(frozen=True, slots=True)
class Way:
    """How frames get from one transfer syntax to another."""

    facts: PixelFacts
    """what the attributes say of them there"""
    frame: Callable[[bytes], bytes] | None
    """None: they stay as they are"""


def can_give(transfer_syntax: str, facts: PixelFacts | None) -> tuple[str, ...]:
    """The transfer syntaxes in which an object can be given that is kept in `transfer_syntax`: that one first, then
    uncompressed ones, lossless ones, and at the end those that lose something (`syntaxes.KNOWN` says which).

    `facts`: of its image; None: it has no pixel data.
    """
    others = [one for one in KNOWN if one != transfer_syntax and leads(facts, transfer_syntax, one)]
    return (transfer_syntax, *others)


def frame_in(frame: bytes, facts: PixelFacts, source: str, target: str) -> bytes:
    """Frame bytes, kept in the transfer syntax `source`, in `target`.

    Uncompressed they are as the object's own attributes describe them (see `native`), else as in the object that
    `transcoded` gives. NotAcceptable: `target` is none of `can_give`. BrokenDicom: they do not decode, or to another
    image than the attributes tell of.
    """
    if source == target:
        return frame
    way = way_between(facts, source, target)
    if way is None:
        raise not_acceptable(target, can_give(source, facts))
    if not encapsulated(target):
        return native(frame, facts, source)
    return way.frame(frame) if way.frame else frame


def leads(facts: PixelFacts | None, source: str, target: str) -> bool:
    if facts is None:
        return source in KNOWN and not encapsulated(target)
    return way_between(facts, source, target) is not None


def way_between(facts: PixelFacts, source: str, target: str) -> Way | None:
    """None: there is none."""
    if source not in KNOWN or target not in KNOWN or not KNOWN[target].given:
        return None
    if source in _CONTAINED.get(target, ()):
        return Way(facts, None)
    if target == JPEG_IN_XL:
        return Way(facts, jpeg_in_xl) if source == JPEG_BASELINE else None
    if (source, target) == (JPEG_IN_XL, JPEG_BASELINE):
        return Way(facts, jpeg_of_xl)
    if not encapsulated(source):
        if not encapsulated(target):
            return Way(facts, None)
        if target == RLE and fits(facts, RLE):  # with what lies in bits that are not stored
            return Way(
                encoded_facts(facts, RLE), lambda frame: run_lengths(native(frame, facts, source), facts)
            )
    if source == RLE and not encapsulated(target) and not facts.subsampled and facts.bits_allocated > 1:
        pixels = replace(facts, planar=False)
        return Way(pixels, lambda frame: run_lengths_undone(frame, pixels))
    samples = replace(
        facts, photometric=colour_of(facts, source), planar=False, high_bit=facts.bits_stored - 1
    )
    if not encapsulated(target):
        return Way(samples, lambda frame: laid_out(stored(frame, facts, source), samples))
    if not fits(samples, target):
        return None
    return Way(
        encoded_facts(samples, target), lambda frame: encode(stored(frame, facts, source), samples, target)
    )


def not_acceptable(target: str, possible: Iterable[str]) -> NotAcceptable:
    return NotAcceptable(
        f"this cannot be given in transfer syntax {target}", f"ask for one of {', '.join(possible)}"
    )
