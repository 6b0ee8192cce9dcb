"""One `Match` of a query -> one condition in SQL (PS3.4 C.2.2.2)."""

import re
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import dictionary_VM
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from kahu.catalog import columns
from kahu.catalog.fold import fold, folded
from kahu.catalog.schema import patients
from kahu.dicom.attributes import tag_of, vr_of
from kahu.dicom.query import Match

_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_NUMBER = r"^ *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([Ee][+-]?[0-9]{1,2})? *$"

_LONGEST = 40  # digits of a number that is written without exponent

Condition = sa.ColumnElement[bool]


def condition(match: Match, text: sa.ColumnElement[str] | None = None) -> Condition:
    """What an index attribute must be like in SQL. An attribute with several values matches if one does.

    `text`: where its value is, if not where `columns` says.
    """
    text = columns.text_of(match.keyword) if text is None else text
    if match.kind == "empty":
        return sa.func.coalesce(text, "") == ""
    if match.kind == "text":
        return sa.and_(*(_begins_a_word(_folded(match.keyword, text), word) for word in match.values))
    if vr_of(match.keyword) == "PN":
        name = _folded(match.keyword, text)
        return sa.or_(*(_name(name, match.kind, fold(value)) for value in match.values))
    if match.kind == "range":
        pairs = zip(match.values[::2], match.values[1::2], strict=True)
        return sa.or_(*(_range(text, first, last) for first, last in pairs))
    if match.kind == "wildcard":
        like = _one_of_several_is_like if _several(match.keyword) else is_like
        return sa.or_(*(like(text, value) for value in match.values))
    return _equal(match.keyword, text, match.values)


def _folded(keyword: str, text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    return patients.c.folded if keyword == "PatientName" else folded(text)


def _equal(keyword: str, text: sa.ColumnElement[str], values: tuple[str, ...]) -> Condition:
    if keyword in columns.NUMBERS:
        numbers = [columns.whole_number(value) for value in values]
        return columns.NUMBERS[keyword].in_([number for number in numbers if number is not None])
    if _several(keyword):
        spelled = _spelled if vr_of(keyword) in _NUMBERS else re.escape
        return sa.or_(*(_one_of_several(text, spelled(value)) for value in values))
    equal = text.in_(values)
    if vr_of(keyword) in _NUMBERS:
        number = sa.case((text.regexp_match(_NUMBER), sa.cast(text, sa.Double)))
        return sa.or_(equal, number.in_([float(value) for value in values]))
    return equal


def _range(text: sa.ColumnElement[str], first: str, last: str) -> Condition:
    conditions = [text != ""]
    if first:
        conditions.append(text >= first)
    if last:
        conditions.append(text <= last)
    return sa.and_(*conditions)


def _name(text: sa.ColumnElement[str], kind: str, value: str) -> Condition:
    """Of a name, already folded: the whole, or one of its component groups (PS3.5 §6.2.1.1)."""
    if kind == "wildcard" and value.startswith("*") and value.endswith("*"):
        return is_like(text, value)  # what is in a group is in the whole
    patterns = (f"{value}=*", f"*={value}", f"*={value}=*")
    whole = is_like(text, value) if kind == "wildcard" else text == value
    return sa.or_(whole, *(is_like(text, pattern) for pattern in patterns))


def _begins_a_word(text: sa.ColumnElement[str], word: str) -> Condition:
    escaped = re.escape(fold(word))
    return text.regexp_match(rf"(^|[\s^=,\\]){escaped}")


@cache
def _several(keyword: str) -> bool:
    """Whether the attribute may have several values."""
    tag = tag_of(keyword)
    return tag is not None and dictionary_VM(tag) != "1"


def _one_of_several_is_like(text: sa.ColumnElement[str], value: str) -> Condition:
    return _one_of_several(text, re.escape(value).replace(r"\*", r"[^\\]*").replace(r"\?", r"[^\\]"))


def _one_of_several(text: sa.ColumnElement[str], pattern: str) -> Condition:
    return text.regexp_match(rf"(^|\\){pattern}(\\|$)")


def _spelled(number: str) -> str:
    """A pattern of all ways to write a number as DS or IS: 40, +40.0, 4e1 (PS3.5 §6.2)."""
    value = Decimal(number)
    if not value:
        return r" *[+-]?(0+(\.0*)?|\.0+)([Ee][+-]?[0-9]+)? *"
    _, digits, _ = value.normalize().as_tuple()
    whole, _, fraction = f"{abs(value):f}".partition(".")
    fraction = fraction.rstrip("0")
    plain = whole.lstrip("0") + (rf"\.{fraction}0*" if fraction else r"(\.0*)?")
    first, *more = map(str, digits)
    power = value.adjusted()
    scientific = first + (rf"\.{''.join(more)}0*" if more else r"(\.0*)?")
    exponent = rf"[Ee]{'-' if power < 0 else '[+]?'}0*{abs(power)}"
    ways = [scientific + exponent]
    if abs(power) < _LONGEST:
        ways.append(rf"{plain}([Ee][+-]?0+)?")
    return rf" *{'-' if value < 0 else '[+]?'}0*({'|'.join(ways)}) *"


# DICOM's patterns are those of GLOB in SQLite, but for the bracket; in PostgreSQL, LIKE minds case as we need it.


def is_like(text: sa.ColumnElement[str], pattern: str) -> Condition:
    """Whether text is like a pattern of ``*`` (any characters, also none) and ``?`` (one)."""
    return _IsLike(text, sa.bindparam(None, pattern, type_=_Pattern()))


class _Pattern(sa.types.TypeDecorator[str]):
    """A pattern of DICOM, as the database spells it."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value and value.replace("[", "[[]")
        escaped = re.sub(r"([\\%_])", r"\\\1", value)
        return escaped.replace("*", "%").replace("?", "_")


class _IsLike(FunctionElement[bool]):
    type = sa.Boolean()
    inherit_cache = True
    name = "is_like"


@compiles(_IsLike)
def _glob(element: Any, compiler: Any, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} GLOB {pattern})"


@compiles(_IsLike, "postgresql")
def _like(element: Any, compiler: Any, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} LIKE {pattern})"
