"""What a JSON schema asks of a value: every mistake, in words, not only the first.

The part of JSON Schema (draft 2020-12) that manifests and parameters of tools are written in; one checker
serves both.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "string": ("text", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "array": ("a list", (list, tuple)),
    "object": ("a table", (dict,)),
}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong."""

    at: str
    """keys joined by dots, as in ``output.segments[0].label``"""
    what: str

    def __str__(self) -> str:
        return f"{self.at}: {self.what}" if self.at else self.what


def mistakes(value: Any, schema: Schema, *, at: str = "", root: Schema | None = None) -> Iterator[Mistake]:
    """Every mistake of a value; `root` holds the ``$defs`` that ``$ref`` speaks of."""
    root = schema if root is None else root
    if "$ref" in schema:
        yield from mistakes(value, root["$defs"][schema["$ref"].rpartition("/")[2]], at=at, root=root)
        return
    if "anyOf" in schema:
        if all(any(mistakes(value, choice, root=root)) for choice in schema["anyOf"]):
            wanted = " or ".join(_TYPES[choice["type"]][0] for choice in schema["anyOf"])
            yield Mistake(at, f"must be {wanted}")
        return
    wanted, types = _TYPES.get(schema.get("type", ""), ("", ()))
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        quoted = ", in quotes" if wanted == "text" else ""
        yield Mistake(at, f"must be {wanted}{quoted}{_such_as(schema)}")
    elif "enum" in schema and value not in schema["enum"]:
        yield Mistake(at, f"must be one of {_listed(schema['enum'])}{_meant(value, schema['enum'])}")
    elif isinstance(value, str):
        yield from _of_text(value, schema, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _of_number(value, schema, at)
    elif isinstance(value, list | tuple):
        yield from _of_list(value, schema, at, root)
    elif isinstance(value, dict):
        yield from _of_table(value, schema, at, root)


def _of_text(value: str, schema: Schema, at: str) -> Iterator[Mistake]:
    if len(value) < schema.get("minLength", 0):
        yield Mistake(at, "must not be empty")
    elif len(value) > schema.get("maxLength", len(value)):
        yield Mistake(at, f"must have at most {schema['maxLength']} characters")
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield Mistake(at, f"{value!r} is not of the form asked for{_such_as(schema)}")


def _of_number(value: float, schema: Schema, at: str) -> Iterator[Mistake]:
    if not math.isfinite(value):
        yield Mistake(at, "must be a finite number")
    elif value < schema.get("minimum", value):
        yield Mistake(at, f"must be at least {schema['minimum']:.15g}")
    elif value > schema.get("maximum", value):
        yield Mistake(at, f"must be at most {schema['maximum']:.15g}")


def _of_list(value: list[Any] | tuple[Any, ...], schema: Schema, at: str, root: Schema) -> Iterator[Mistake]:
    places: tuple[Schema, ...] = tuple(schema.get("prefixItems", ()))
    if places and len(value) != len(places):
        yield Mistake(at, f"must be a list of {len(places)}: {', '.join(p['title'] for p in places)}")
        return
    if len(value) < schema.get("minItems", 0):
        yield Mistake(at, "must not be empty")
    for number, item in enumerate(value):
        place = places[number] if places else schema.get("items", {})
        yield from mistakes(item, place, at=f"{at}[{number}]", root=root)


def _of_table(value: Mapping[str, Any], schema: Schema, at: str, root: Schema) -> Iterator[Mistake]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    others: Schema | bool = schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            yield Mistake(at, f"{key!r} is missing")
    for key, item in value.items():
        below = f"{at}.{key}" if at else key
        if key in known:
            yield from mistakes(item, known[key], at=below, root=root)
        elif others is False:
            yield Mistake(at, f"{key!r} is not known here{_meant(key, known)}")
        elif isinstance(others, Mapping):
            yield from mistakes(key, schema.get("propertyNames", {}), at=below, root=root)
            yield from mistakes(item, others, at=below, root=root)


def _such_as(schema: Schema) -> str:
    return f", such as {schema['examples'][0]!r}" if "examples" in schema else ""


def _listed(values: Any) -> str:
    return ", ".join(repr(value) for value in values)


def _meant(word: Any, known: Any) -> str:
    near = get_close_matches(str(word).lower(), [str(one) for one in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
