"""C-FIND: what there is (PS3.4 C.4.1, PS3.7 §9.1.2)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

from pydicom import Dataset

from kahu.catalog import search
from kahu.catalog.scope import Scope
from kahu.catalog.search import Answer
from kahu.db import Database
from kahu.dicom.attributes import Level
from kahu.dicom.query import Query, from_identifier
from kahu.dimse import identifier as identifiers
from kahu.dimse.association import Message
from kahu.dimse.status import (
    CANCELLED,
    DOES_NOT_MATCH,
    OUT_OF_RESOURCES,
    PENDING,
    PENDING_WITHOUT,
    SUCCESS,
)
from kahu.errors import AssociationLost, BadRequest, KahuError, Unavailable
from kahu.server.dimse.answer import Answers
from kahu.server.dimse.call import Call
from kahu.server.dimse.offered import SERVICES

_FIRST, _PAGE = 200, 5000  # answers that are looked for at a time: the first should come soon
_NOTHING: Mapping[str, Any] = {}
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
        for number, (row, extra, ignored) in enumerate(_matches(call, query)):
            if number % _LOOK == 0 and call.cancelled(message):
                call.answer(message, CANCELLED)
                return
            status = PENDING_WITHOUT if ignored else PENDING
            call.answer(message, status, data=[answers.encode(row, extra)])
    except AssociationLost:
        raise
    except BadRequest as error:
        call.answer(message, DOES_NOT_MATCH, str(error))
    except KahuError as error:
        call.answer(message, OUT_OF_RESOURCES, str(error))
    else:
        call.answer(message, SUCCESS)


def read_identifier(message: Message, transfer_syntax: str) -> Dataset:
    """The identifier of a request. BadRequest: it has none that can be read."""
    if message.data is None:
        raise BadRequest("there is no identifier")
    return identifiers.decode(message.data, transfer_syntax)


def level_of(identifier: Dataset, levels: Collection[Level]) -> Level:
    """Query/Retrieve Level (0008,0052). BadRequest: it is missing, or none of this information model."""
    said = identifier.get("QueryRetrieveLevel")
    for level in levels:
        if said == level:
            return level
    raise BadRequest(f"Query/Retrieve Level must be one of {', '.join(levels)}")


Matched = tuple[Mapping[str, str], Mapping[str, Any], Sequence[str]]


def _matches(call: Call, query: Query) -> Iterator[Matched]:
    """Each row that matches, what else is known of it, and the conditions that could not be minded. Unavailable:
    it took too long to find them all."""
    more = True
    while more:
        query = replace(query, limit=_PAGE if query.offset else _FIRST)
        found = call.database(_found, call.services.database, query, call.scope)
        for row, extra in zip(found.rows, found.extra or repeat(_NOTHING), strict=False):
            yield row, extra, found.ignored
        if not found.whole:
            raise Unavailable("the question takes too long", "ask for less, or with attributes of the index")
        more = found.more
        query = replace(query, offset=query.offset + len(found.rows))


def _found(database: Database, query: Query, scope: Scope) -> Answer:
    with database.read() as db:
        return search.find(db, query, scope)
