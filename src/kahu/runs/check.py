"""What a case delivered and what it was made from, read for the gate."""

from collections.abc import Iterator
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset

from kahu.catalog import fetch
from kahu.catalog.delivered import Prepared
from kahu.catalog.places import Places
from kahu.catalog.scope import ALL
from kahu.db import Database
from kahu.runs import gate


def check(database: Database, places: Places, prepared: Prepared, *, study: str, series: str) -> gate.Verdict:
    """The gate's verdict on what was delivered for a case. NotFound: the series is gone; BytesMissing:
    what was delivered is."""
    sources = gate.SourceFacts.of(_headers(database, study, series))
    return gate.judge(_delivered(places, prepared), sources)


def _headers(database: Database, study: str, series: str) -> Iterator[Dataset]:
    """The case's images without their pixels, as they were indexed: no store is asked."""
    with database.read() as db:
        for located in fetch.instances(db, ALL, study, series):
            header = fetch.header(db, located)
            yield read_dataset(BytesIO(header.raw), header.implicit, is_little_endian=True)


def _delivered(places: Places, prepared: Prepared) -> Iterator[BytesIO]:
    store = places.store(prepared.place.id)
    for each in prepared.objects:
        yield BytesIO(b"".join(store.stream(each.found.entry)))
