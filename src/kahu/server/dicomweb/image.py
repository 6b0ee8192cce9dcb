"""The image of an instance: what is known of it, and its frames as its store has them."""

import threading
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property

from pydicom.dataset import Dataset

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.dicom import frames
from kahu.dicom.frames import PixelFacts
from kahu.dicom.header import PixelData, ReadAt, inflated
from kahu.errors import NotFound
from kahu.server.dicomweb import rows
from kahu.server.dicomweb.asked import Asked

_DEFLATED = "1.2.840.10008.1.2.1.99"

# Their frames are uncompressed and little endian as they lie in the file.
_PLAIN = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})


class Image:
    """One instance's image. Its methods block: they read its store, and the database for the header.

    They raise NotFound (no such frame), BytesChanged, BytesMissing and BrokenDicom.
    """

    def __init__(self, database: Database, places: Places, located: Located, pixels: PixelData) -> None:
        self.located = located
        self.read = reader(places, located)
        self._database = database
        self._places = places
        self._pixels = pixels
        # As much as it takes to find frames: index attributes.
        self._outline = self._with_pixels(PixelFacts.of_json(rows.to_json(located.attributes)))

    @property
    def transfer_syntax(self) -> str:
        return self.located.location.transfer_syntax

    @property
    def is_plain(self) -> bool:
        """Whether its frames lie in the file as they are in explicit VR little endian."""
        return self.transfer_syntax in _PLAIN

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._outline.frames

    def check(self, number: int) -> None:
        """NotFound: there is no such frame."""
        if not 1 <= number <= self.frames:
            raise NotFound(f"there is no frame {number}", f"the instance has frames 1 to {self.frames}")

    def kept(self, number: int) -> bytes:
        """Frame `number` as it is kept, without item headers."""
        read, pixels = self._opened()
        packed = self._packed if frames.encapsulated(self.transfer_syntax) else None
        return frames.read_frame(read, self._outline, pixels, self.transfer_syntax, number, packed)

    def uncompressed(self, number: int) -> bytes:
        """Frame `number` in explicit VR little endian. NotAcceptable: it cannot be decoded."""
        if self.is_plain:
            return self.kept(number)
        return frames.native(self.kept(number), self.facts, self.transfer_syntax)

    @cached_property
    def facts(self) -> PixelFacts:
        """All that decoding needs."""
        return self._with_pixels(PixelFacts.of(self.header()))

    def header(self) -> Dataset:
        """Everything but the pixel data, as a pydicom data set."""
        return fetch.dataset(self._database, self._places, self.located)

    def _with_pixels(self, facts: PixelFacts) -> PixelFacts:
        return replace(facts, keyword=self._pixels.keyword, words=self._pixels.vr == "OW")

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
        if self.transfer_syntax != _DEFLATED:
            return self.read, self._pixels
        location = self.located.location
        data, pixels = inflated(self.read, location.entry.size, location.dataset_offset)
        if pixels is None:
            raise NotFound("the instance has no pixel data")
        return lambda offset, length: data[offset : offset + length], pixels


def reader(places: Places, located: Located) -> ReadAt:
    """Reads an instance's file: fewer bytes than asked for at its end only."""
    size = located.location.entry.size

    def read(offset: int, length: int) -> bytes:
        length = min(length, size - offset)
        return fetch.read(places, located, offset, length) if length > 0 else b""

    return read


class Images:
    """Opens images; of the last few thousand it remembers what had to be found out."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._known: OrderedDict[tuple[int, str, str], Image] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, asked: Asked) -> Image:
        """The image of the instance that is asked for. Blocks: the database is read.

        NotFound: no such instance, or it has no image. Unavailable: its bytes cannot be had now.
        """
        with asked.rooms.database.read() as db:
            located = fetch.locate(db, asked.instance, asked.scope, study=asked.study, series=asked.series)
        return self.of(asked, located)

    def of(self, asked: Asked, located: Located) -> Image:
        """The image of an instance that has been located."""
        location = located.location
        if location.pixels is None:
            raise NotFound("the instance has no pixel data", "ask for the instance itself")
        key = (location.store, location.entry.key, location.entry.stamp)
        with self._lock:
            image = self._known.pop(key, None)
            image = image or Image(asked.rooms.database, asked.rooms.places, located, location.pixels)
            self._known[key] = image
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return image
