"""The image of an instance: what is known of it, and its frames as its store has them."""

from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.given_in import can_give
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.dicom import frames, transcode
from kahu.dicom.display import Display
from kahu.dicom.frames import PixelFacts
from kahu.dicom.header import PixelData, ReadAt, inflated
from kahu.dicom.syntaxes import DEFLATED_LE, EXPLICIT_LE, IMPLICIT_LE
from kahu.dicom.text import quietly
from kahu.errors import NotFound
from kahu.server.dicomweb import rows

_OF_PIXELS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
)
"""attributes that frames are found by"""

# Their frames are uncompressed and little endian as they lie in the file.
PLAIN = frozenset({IMPLICIT_LE, EXPLICIT_LE})


class Image:
    """One instance's image. Its methods block: they read its store, and the database for the header.

    They raise NotFound (no such frame), BytesChanged, BytesMissing and BrokenDicom.
    """

    def __init__(self, database: Database, places: Places, located: Located, pixels: PixelData) -> None:
        self.located = located
        self.read = fetch.reader(places, located)
        self._database = database
        self._places = places
        self._pixels = pixels
        # As much as it takes to find frames: index attributes.
        self._outline = _outline(located, pixels)
        self._last_shown: tuple[int, PixelFacts, Display] | None = None

    @property
    def transfer_syntax(self) -> str:
        return self.located.location.transfer_syntax

    @property
    def is_plain(self) -> bool:
        """Whether its frames lie in the file as they are in explicit VR little endian."""
        return self.transfer_syntax in PLAIN

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._outline.frames

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._outline.rows, self._outline.columns

    def check(self, number: int) -> None:
        """NotFound: there is no such frame."""
        if not 1 <= number <= self.frames:
            raise NotFound(f"there is no frame {number}", f"the instance has frames 1 to {self.frames}")

    def kept(self, number: int) -> bytes:
        """Frame `number` as it is kept, without item headers."""
        read, pixels = self._opened()
        packed = self._packed if frames.encapsulated(self.transfer_syntax) else None
        return frames.read_frame(read, self._outline, pixels, self.transfer_syntax, number, packed)

    def given(self, number: int, transfer_syntax: str) -> bytes:
        """Frame `number` in a transfer syntax (`forms.as_frame`). NotAcceptable: it cannot be transcoded to that."""
        kept = self.kept(number)
        if transfer_syntax == self.transfer_syntax or (self.is_plain and transfer_syntax == EXPLICIT_LE):
            return kept
        if transfer_syntax == EXPLICIT_LE:
            return frames.native(kept, self.facts, self.transfer_syntax)
        return transcode.frame_in(kept, self.facts, self.transfer_syntax, transfer_syntax)

    def length(self, transfer_syntax: str) -> int | None:
        """Of one frame so given, in bytes; None: not known before it is made."""
        bits = self._outline.frame_bits
        return bits // 8 if self.is_plain and transfer_syntax == EXPLICIT_LE and bits % 8 == 0 else None

    def can_give(self) -> tuple[str, ...]:
        """Transfer syntaxes that its frames can be given in."""
        return can_give(self._database, self.located)

    @cached_property
    def facts(self) -> PixelFacts:
        """All that decoding needs."""
        with self._database.read() as db:
            return self._facts_of(fetch.outline(db, self.located))

    def header(self) -> Dataset:
        """Everything but the pixel data, as a pydicom data set."""
        return fetch.dataset(self._database, self._places, self.located)

    def decoded(self, number: int) -> tuple[NDArray[Any], Display]:
        """Frame `number` as an array (`frames.decode`), and how it is looked at. NotAcceptable, BrokenDicom: it does
        not decode, or makes no sense."""
        facts, display = self._shown(number)
        return frames.decode(self.kept(number), facts, self.transfer_syntax), display

    def _shown(self, number: int) -> tuple[PixelFacts, Display]:
        """What the header says of a frame; of the last one it is kept, for whoever tries other windows."""
        last = self._last_shown
        if last is None or last[0] != number:
            header = self.header()
            with quietly():
                last = number, self._facts_of(header), Display.of(header, number)
            self._last_shown = last
        return last[1:]

    def _facts_of(self, header: Dataset) -> PixelFacts:
        return PixelFacts.of(header).held_in(self._pixels)

    @cached_property
    def _packed(self) -> bytes:
        """Where the fragments of each frame are. It may take many reads to find out, so it is kept."""
        location = self.located.location
        if location.frames:
            return location.frames
        ranges = frames.encapsulated_ranges(
            self.read, self._pixels, self.frames, self.transfer_syntax, self._extended()
        )
        packed = frames.pack(ranges)
        fetch.keep_frames(self._database, location, packed)
        return packed

    def _extended(self) -> tuple[bytes, bytes] | None:
        """The extended offset table with its lengths (PS3.3 C.7.6.3.1.8), where there is one."""
        if self.frames == 1:
            return None
        header = self.header()
        table, lengths = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
        return (table, lengths) if table and lengths else None

    def _opened(self) -> tuple[ReadAt, PixelData]:
        """What to read from, and where in it the pixel data are."""
        if self.transfer_syntax != DEFLATED_LE:
            return self.read, self._pixels
        location = self.located.location
        data, pixels = inflated(self.read, location.entry.size, location.dataset_offset)
        if pixels is None:
            raise NotFound("the instance has no pixel data")
        return lambda offset, length: data[offset : offset + length], pixels


def _outline(located: Located, pixels: PixelData) -> PixelFacts:
    known = {keyword: located.attributes[keyword] for keyword in _OF_PIXELS if keyword in located.attributes}
    return PixelFacts.of_json(rows.to_json(known)).held_in(pixels)
