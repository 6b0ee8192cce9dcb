"""C-FIND: what there is (PS3.4 C.4.1, PS3.7 §9.1.2)."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from pydicom import Dataset

from kahu.catalog import search
from kahu.catalog.scope import Scope
from kahu.catalog.search import Answer
from kahu.db import Database
from kahu.dicom.query import Query, QueryLevel, from_identifier
from kahu.dimse import identifier as identifiers
from kahu.dimse.association import Message
from kahu.errors import AssociationLost, BadRequest, KahuError
from kahu.server.dimse.answer import Answers
from kahu.server.dimse.call import CANCELLED, PENDING, PENDING_WITHOUT, Call
from kahu.server.dimse.offered import SERVICES

OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
"""the identifier does not match the SOP class"""

_PAGE = 5000
_LOOK = 20  # answers between two looks whether the caller has had enough


def perform(call: Call, message: Message) -> None:
    """Answers with one pending response for each match; what is asked for is found page by page and told as it is
    found, so that there is no most."""
    context = call.context(message)
    model = SERVICES[context.abstract_syntax]
    try:
        identifier = read_identifier(message, context.transfer_syntax)
        level = level_of(identifier, model.levels)
        fuzzy = call.association.extended.get(context.abstract_syntax, b"")[2:3] == b"\1"
        query = from_identifier(identifier, level, fuzzy=fuzzy)
        answers = Answers(
            identifier, level, model.levels, call.services.settings.aet, context.transfer_syntax
        )
        for number, (row, ignored) in enumerate(_matches(call, query)):
            if number % _LOOK == 0 and call.cancelled(message):
                call.answer(message, CANCELLED)
                return
            supported = answers.complete(row) and not ignored
            call.answer(message, PENDING if supported else PENDING_WITHOUT, data=[answers.encode(row)])
    except AssociationLost:
        raise
    except BadRequest as error:
        call.answer(message, DOES_NOT_MATCH, str(error))
    except KahuError as error:
        call.answer(message, OUT_OF_RESOURCES, str(error))
    else:
        call.answer(message, 0)


def read_identifier(message: Message, transfer_syntax: str) -> Dataset:
    """The identifier of a request. BadRequest: it has none that can be read."""
    if message.data is None:
        raise BadRequest("there is no identifier")
    return identifiers.decode(message.data, transfer_syntax)


def level_of(identifier: Dataset, levels: Collection[QueryLevel]) -> QueryLevel:
    """Query/Retrieve Level (0008,0052). BadRequest: it is missing, or none of this information model."""
    said = identifier.get("QueryRetrieveLevel")
    for level in levels:
        if said == level:
            return level
    raise BadRequest(f"Query/Retrieve Level must be one of {', '.join(levels)}")


def _matches(call: Call, query: Query) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Each row that matches, and the conditions that could not be minded."""
    more = True
    while more:
        page = replace(query, limit=_PAGE)
        found = call.database(_found, call.services.database, page, call.scope)
        more = found.more
        query = replace(query, offset=query.offset + len(found.rows))
        for row in found.rows:
            yield row, found.ignored


def _found(database: Database, query: Query, scope: Scope) -> Answer:
    with database.read() as db:
        return search.find(db, query, scope)
