"""Numbers among several values of an index attribute match by what they are, not by how they are written."""

import pytest

from kahu.catalog.scope import ALL
from kahu.catalog.search import count
from kahu.dicom.match import match_of
from kahu.dicom.query import Query
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue


@pytest.mark.parametrize(
    ("written", "asked", "matches"),
    [
        ("40.0\\300", "40", True),
        ("40\\300", "40.00", True),
        ("300\\+4.0e+01", "40", True),
        ("040\\1", "4e1", True),
        ("-40\\1", "40", False),
        ("400\\1", "40", False),
        ("1.40\\1", "40", False),
        ("0.5\\1", ".50", True),
        ("5e-1\\1", "0.5", True),
        ("1\\0.0", "0", True),
        ("1\\-0", "0.00", True),
        ("1\\10", "0", False),
        ("1E+22\\1", "10000000000000000000000", True),
        ("1\\2", "1e999", False),
    ],
)
def test_a_number_among_several(catalogue: Catalogue, written: str, asked: str, matches: bool) -> None:
    catalogue.receive(samples.instance(attributes={"WindowCenter": written.split("\\")}))
    match = match_of(("WindowCenter",), asked)
    assert match
    with catalogue.database.read() as db:
        assert count(db, Query("IMAGE", (match,)), ALL) == matches
