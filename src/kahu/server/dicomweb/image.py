"""The image of an instance: what is known of it, and its frames as its store has them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.catalog import fetch
from kahu.catalog.fetch import Located, Location
from kahu.catalog.places import Places
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.dicom import frames, transcode
from kahu.dicom.display import Display
from kahu.dicom.frames import PixelFacts
from kahu.dicom.header import PixelData, ReadAt, inflated
from kahu.dicom.text import quietly
from kahu.errors import BrokenDicom, NotFound
from kahu.server.dicomweb import conditions, rows
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import EXPLICIT_LE

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

_NEIGHBOURS = 1000
"""instances of a series that are found together"""

_DEFLATED = "1.2.840.10008.1.2.1.99"

# Their frames are uncompressed and little endian as they lie in the file.
PLAIN = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})


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
        return _with_pixels(PixelFacts.of(header), self._pixels)

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


def can_give(database: Database, located: Located) -> tuple[str, ...]:
    """The transfer syntaxes that an instance can be given in. Blocks: its header is read."""
    syntax, pixels = located.location.transfer_syntax, located.location.pixels
    if pixels is None:
        return transcode.can_give(syntax, None)
    with database.read() as db:
        header = fetch.outline(db, located)
    try:
        return transcode.can_give(syntax, _with_pixels(PixelFacts.of(header), pixels))
    except BrokenDicom:
        return (syntax,)  # an image that makes no sense


def _outline(located: Located, pixels: PixelData) -> PixelFacts:
    known = {keyword: located.attributes[keyword] for keyword in _OF_PIXELS if keyword in located.attributes}
    return _with_pixels(PixelFacts.of_json(rows.to_json(known)), pixels)


def _with_pixels(facts: PixelFacts, pixels: PixelData) -> PixelFacts:
    return replace(facts, keyword=pixels.keyword, words=pixels.vr == "OW")


def tag_of(located: Located, *facts: object, weak: bool = False) -> str:
    """The entity tag of what is made of an instance's bytes in the way that `facts` tell; empty where its store cannot
    tell whether they have changed."""
    state = _state(located.location)
    return conditions.tag(*state, *facts, weak=weak) if state else ""


def tag_of_all(found: Sequence[Located], *facts: object) -> str:
    """The same of many instances in one message."""
    states = [_state(one.location) for one in found]
    return conditions.tag(*chain.from_iterable(states), *facts, weak=True) if all(states) else ""


def _state(at: Location) -> tuple[object, ...]:
    """Is another whenever the bytes are; empty: the store cannot tell."""
    return (at.store, at.entry.key, at.entry.stamp, at.entry.size) if at.entry.stamp else ()


def reader(places: Places, located: Located) -> ReadAt:
    """Reads an instance's file: fewer bytes than asked for at its end only."""
    size = located.location.entry.size

    def read(offset: int, length: int) -> bytes:
        length = min(length, size - offset)
        return fetch.read(places, located, offset, length) if length > 0 else b""

    return read


class Images:
    """Finds instances and opens their images. Of some thousand it remembers what had to be found out: where
    they are, for as long as nothing is written to the catalogue; where their frames are, until their file changes.

    To be called on the event loop.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._located: OrderedDict[tuple[Scope, str, str, str], Located] = OrderedDict()
        self._asked: dict[tuple[Scope, str, str], int] = {}
        """how many instances of a series had to be looked for"""
        self._generation = -1
        """of the catalogue; to which the above belong"""
        self._opened: OrderedDict[tuple[int, str, str], Image] = OrderedDict()

    async def locate(self, asked: Asked) -> Located:
        """The instance that is asked for, with a place where it can be had. Who asks for a second one of a series will
        ask for the others: they are found with it.

        NotFound: no such instance. Unavailable: its bytes cannot be had now.
        """
        database = asked.rooms.database
        if database.generation != self._generation or not database.sqlite:
            self._located.clear()
            self._asked.clear()
            self._generation = database.generation
        key = (asked.scope, asked.study, asked.series, asked.instance)
        known = self._located.get(key)
        if known and known.locations:
            self._located.move_to_end(key)
            return known
        if len(self._asked) > self._most:
            self._asked.clear()
        generation = self._generation
        self._asked[key[:3]] = times = self._asked.get(key[:3], 0) + 1
        found = await asked.rooms.pools.database(_locate, asked, times == 2)
        if generation == self._generation:
            self._keep(key, found)
        return found[asked.instance]

    def _keep(self, key: tuple[Scope, str, str, str], found: Mapping[str, Located]) -> None:
        for uid, located in found.items():
            self._located[(*key[:3], uid)] = located
        while len(self._located) > self._most:
            self._located.popitem(last=False)

    async def open(self, asked: Asked) -> Image:
        """The image of the instance that is asked for. NotFound: no such instance, or it has no image. Unavailable."""
        return self.of(asked, await self.locate(asked))

    def of(self, asked: Asked, located: Located) -> Image:
        """The image of an instance that has been located."""
        location = located.location
        if location.pixels is None:
            raise NotFound("the instance has no pixel data", "ask for the instance itself")
        key = (location.store, location.entry.key, location.entry.stamp)
        image = self._opened.pop(key, None)
        image = image or Image(asked.rooms.database, asked.rooms.places, located, location.pixels)
        self._opened[key] = image
        if len(self._opened) > self._most:
            self._opened.popitem(last=False)
        return image


def _locate(asked: Asked, others: bool) -> dict[str, Located]:
    """The instance that is asked for, by its UID; with `others` of its series, as many as are worth it."""
    scope, study, series = asked.scope, asked.study, asked.series
    with asked.rooms.database.read() as db:
        one = fetch.locate(db, asked.instance, scope, study=study, series=series)
        one.location  # noqa: B018 - Unavailable is said before anything is sent
        found = fetch.neighbours(db, scope, study, series, _NEIGHBOURS) if others else []
    return {each.sop_instance_uid: each for each in found} | {asked.instance: one}
