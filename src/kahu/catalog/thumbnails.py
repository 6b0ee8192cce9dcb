"""One small picture a series: its middle slice, made on first ask, kept in the cache folder until it changes."""

import hashlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import pydicom
import sqlalchemy as sa

from kahu.catalog import computed, fetch, schema
from kahu.catalog.fetch import Located
from kahu.catalog.places import Places
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.dicom import frames, render
from kahu.dicom.frames import PixelFacts
from kahu.dicom.text import quietly
from kahu.errors import BrokenDicom, NotAcceptable, NotFound

_MOST = 256 << 20
"""bytes of an object that is read whole, where that must be: a segmentation, a deflated data set"""
# What values that make no sense raise in numpy, Pillow and pydicom.
_ODD = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The small picture of a series: where it is kept, or would be."""

    series_uid: str
    modality: str
    path: Path | None
    """None: only a part of the series is in scope, which has a middle of its own; its picture is not kept"""
    state: tuple[object, ...]
    """is another whenever the series is"""

    def kept(self) -> bytes | None:
        """The picture, if it has been made before."""
        return self.path.read_bytes() if self.path and self.path.exists() else None


def find(database: Database, cache: Path, series_uid: str, scope: Scope, study: str = "") -> Thumbnail:
    """Of a series; of that study, where one is named. NotFound: there is none in scope."""
    c = schema.series.c
    query = sa.select(schema.series).where(c.uid == series_uid, scope.clause())
    if study:
        of_study = sa.select(schema.studies.c.id).where(schema.studies.c.uid == study)
        query = query.where(c.study.in_(of_study))
    with database.read() as db:
        row = db.execute(query).mappings().first()
        if row is None:
            raise NotFound("there is no such study, series or instance here")
        seen = computed.extent(db, scope, [dict(row)])[row["id"]].instances
    state = (series_uid, row["revision"], row["changed"])
    path = _path(cache, *state) if seen == row["instances"] else None
    return Thumbnail(series_uid, row["modality"], path, (*state, seen))


def make(database: Database, places: Places, wanted: Thumbnail, scope: Scope) -> bytes:
    """Makes the picture, and keeps it. Unavailable, BytesMissing, BytesChanged: its bytes cannot be had now."""
    with database.read() as db:
        found = fetch.instances(db, scope, series=wanted.series_uid)
    body = _picture(database, places, found, wanted.modality)
    if wanted.path:
        _keep(wanted, wanted.path, body)
    return body


def thumbnail(database: Database, places: Places, cache: Path, series_uid: str, scope: Scope) -> bytes:
    """A small JPEG: the slice in the middle of the series, or a tile that says what the series is.

    NotFound: no such series in scope. Unavailable, BytesMissing, BytesChanged: its bytes cannot be had now, and
    it has not been made before.
    """
    wanted = find(database, cache, series_uid, scope)
    return wanted.kept() or make(database, places, wanted, scope)


def forget(cache: Path, series_uid: str) -> None:
    """Removes what is kept of a series."""
    folder, name = _shelf(cache, series_uid)
    for kept in folder.glob(f"{name}-*.jpg"):
        kept.unlink(missing_ok=True)


def _shelf(cache: Path, series_uid: str) -> tuple[Path, str]:
    name = hashlib.sha256(series_uid.encode()).hexdigest()[:32]
    return cache / "thumbnails" / name[:2], name


def _path(cache: Path, series_uid: str, revision: int, changed: float) -> Path:
    folder, name = _shelf(cache, series_uid)
    return folder / f"{name}-{revision}-{int(changed * 1000)}.jpg"


def _keep(wanted: Thumbnail, path: Path, body: bytes) -> None:
    """Puts a picture into the cache, whole or not at all; those of former revisions go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(body)
    forget(path.parents[2], wanted.series_uid)
    Path(file.name).replace(path)


def _picture(database: Database, places: Places, found: Sequence[Located], modality: str) -> bytes:
    pictures = [one for one in found if one.frames]
    if not pictures:
        return render.icon(modality or "DICOM")
    one = middle([one for one in pictures if one.locations] or pictures)
    try:
        with quietly():
            return _of_instance(database, places, one, modality)
    except (BrokenDicom, NotAcceptable, *_ODD):
        return render.icon(modality or "DICOM")


def _of_instance(database: Database, places: Places, one: Located, modality: str) -> bytes:
    location, pixels = one.location, one.location.pixels
    if modality == "SEG" or pixels is None or pixels.offset < 0:
        if location.entry.size > _MOST:
            raise NotAcceptable("the object is too large for a picture of it")
        whole = b"".join(fetch.stream(places, one))
        return render.thumbnail_of(pydicom.dcmread(io.BytesIO(whole), force=True))

    def read(offset: int, length: int) -> bytes:
        return fetch.read(places, one, offset, length)

    dataset = fetch.dataset(database, places, one)
    facts = replace(PixelFacts.of(dataset), keyword=pixels.keyword, words=pixels.vr == "OW")
    number = (facts.frames + 1) // 2
    frame = frames.read_frame(read, facts, pixels, location.transfer_syntax, number, location.frames)
    return render.thumbnail(frames.decode(frame, facts, location.transfer_syntax), dataset, number)


def middle(slices: Sequence[Located]) -> Located:
    """The one in the middle: by position along the normal of the first slice, where all have one (PS3.3
    C.7.6.2.1.1), else in the order in which they came."""
    positions = [_numbers(one, "ImagePositionPatient", 3) for one in slices]
    directions = _numbers(slices[0], "ImageOrientationPatient", 6)
    if directions and all(positions):
        (a, b, c), (d, e, f) = directions[:3], directions[3:]
        normal = (b * f - c * e, c * d - a * f, a * e - b * d)
        along = [sum(n * x for n, x in zip(normal, at, strict=True)) for at in positions if at]
        slices = [one for _, one in sorted(zip(along, slices, strict=True), key=itemgetter(0))]
    return slices[len(slices) // 2]


def _numbers(one: Located, keyword: str, count: int) -> list[float] | None:
    try:
        numbers = [float(text) for text in one.attributes.get(keyword, "").split("\\")]
    except ValueError:
        return None
    return numbers if len(numbers) == count else None
