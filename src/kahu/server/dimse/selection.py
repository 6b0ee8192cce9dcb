"""What a C-MOVE or C-GET asks for (PS3.4 C.4.2.2.1, C.4.3.2.1): unique keys -> instances."""

from pydicom import Dataset

from kahu.catalog import fetch, search
from kahu.catalog.fetch import Located
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.dicom.attributes import UNIQUE, Level
from kahu.dicom.query import Query, from_identifier
from kahu.errors import BadRequest

_FOUND_BY: dict[Level, Level] = {
    "PATIENT": "STUDY",
    "STUDY": "STUDY",
    "SERIES": "SERIES",
    "IMAGE": "IMAGE",
}


def selected(database: Database, scope: Scope, identifier: Dataset, level: Level) -> list[Located]:
    """The instances that are asked for, each once; none, if nothing of it is here.

    The keys of the levels above may be left out (relational retrieval); those that are there must hold. Other
    attributes are passed over. BadRequest: the unique key of the level does not name what is wanted.
    """
    keys = Dataset()
    for keyword in UNIQUE.values():
        if keyword in identifier:
            keys[keyword] = identifier[keyword]
    query = Query(_FOUND_BY[level], from_identifier(keys, level).matches)
    if not any(each.keyword == UNIQUE[level] and each.kind in ("exact", "list") for each in query.matches):
        raise BadRequest(f"{UNIQUE[level]} must say what is wanted")
    with database.read() as db:
        rows = search.find(db, query, scope).rows
        found = [
            one
            for row in rows
            for one in fetch.instances(
                db,
                scope,
                row["StudyInstanceUID"],
                row.get("SeriesInstanceUID", ""),
                row.get("SOPInstanceUID", ""),
            )
        ]
    return list({one.sop_instance_uid: one for one in found}.values())
