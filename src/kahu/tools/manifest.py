"""A tool's manifest, `tool.toml`: what a tool takes, how it is run, what it gives.

The dataclasses below are the manifest: `schema` makes the published JSON schema of them, `read` checks a file
by that schema and fills them. `docs/tools/manifest.md` explains every key.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from kahu.errors import BadRequest
from kahu.tools.json_schema import Mistake, mistakes

MANIFEST = "tool.toml"

Value = bool | int | float | str
"""of a parameter"""

_UNITS: Mapping[str, int] = {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "s": 1,
    "min": 60,
    "h": 3600,
}


class Bytes(int):
    """Written as ``4 GB`` (10⁹) or ``4 GiB`` (2³⁰)."""

    pattern = r"^\d{1,9}(\.\d{1,9})? ?[KMG]i?B$"
    example = "4 GB"


class Seconds(int):
    """Written as ``90 s``, ``20 min`` or ``1.5 h``."""

    pattern = r"^\d{1,9}(\.\d{1,9})? ?(s|min|h)$"
    example = "20 min"


class Code(NamedTuple):
    """A coded concept (PS3.3 §8.8), written as a list of three."""

    value: Annotated[str, Meta(title="code value", min_length=1)]
    scheme: Annotated[str, Meta(title="coding scheme", min_length=1)]
    meaning: Annotated[str, Meta(title="meaning", min_length=1)]


_AI = Code("123110", "DCM", "Artificial Intelligence")

Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=64,
        examples=["brain-extraction"],
        description="The tool's name: small letters, digits and single '-'.",
    ),
]
ParameterName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", examples=["threshold"])]
FileName = Annotated[str, Meta(pattern=r"^([\w-][\w.+-]*)?$", examples=["labels.nii.gz"])]
Modality = Annotated[str, Meta(pattern=r"^[A-Z0-9_]{1,16}$", examples=["MR"])]


@dataclass(frozen=True)
class Input:
    """The case that a tool works on: one series."""

    modality: Annotated[
        tuple[Modality, ...],
        Meta(min_length=1, description="Modality (0008,0060) of the series that it takes: any of these."),
    ]
    min_slices: Annotated[int, Meta(ge=1, description="The fewest slices it can work on.")] = 1
    form: Annotated[
        Literal["nifti", "dicom"],
        Meta(
            description="What {input} is: 'nifti', one file image.nii.gz (CT in Hounsfield units); "
            "'dicom', a folder of DICOM files."
        ),
    ] = "nifti"


@dataclass(frozen=True)
class Program:
    """How a tool is run."""

    command: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            min_length=1,
            description="The program and its arguments, run in the tool's folder. {input} and {output} stand "
            "for the case and the folder for results, {name} for the parameter of that name.",
        ),
    ]
    requirements: Annotated[
        FileName,
        Meta(
            description="A file of Python packages, each pinned and with its hashes "
            "(uv pip compile --generate-hashes). Left out: Python's standard library only."
        ),
    ] = ""
    memory: Annotated[Bytes, Meta(description="It is ended when it uses more. Left out: 4 GB.")] = field(
        default_factory=lambda: Bytes(4 * 10**9)
    )
    time: Annotated[Seconds, Meta(description="It is ended when it takes longer. Left out: 1 h.")] = field(
        default_factory=lambda: Seconds(3600)
    )


@dataclass(frozen=True)
class Parameter:
    """What a person can set before a run: a property in JSON schema."""

    type: Annotated[Literal["string", "number", "integer", "boolean"], Meta(description="What it is.")]
    default: Annotated[Value, Meta(description="What holds when nothing is said.")]
    description: Annotated[str, Meta(description="Told to people beside the field.")] = ""
    enum: Annotated[tuple[Value, ...], Meta(description="The values to choose from.")] = ()
    minimum: Annotated[float | None, Meta(description="The smallest number that is taken.")] = None
    maximum: Annotated[float | None, Meta(description="The largest number that is taken.")] = None

    def schema(self) -> dict[str, Any]:
        """As a property in JSON schema: only what was said."""
        said = {
            "type": self.type,
            "default": self.default,
            "description": self.description or None,
            "enum": list(self.enum) or None,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
        return {key: value for key, value in said.items() if value is not None}


@dataclass(frozen=True)
class Segment:
    """What one value of the label map means (PS3.3 C.8.20.2)."""

    value: Annotated[int, Meta(ge=1, le=65535, description="The voxels of this value in the label map.")]
    label: Annotated[str, Meta(min_length=1, max_length=64, description="Segment Label.")]
    category: Annotated[Code, Meta(description="Segmented Property Category, CID 7150.")]
    type: Annotated[Code, Meta(description="Segmented Property Type, CID 7151.")]
    color: Annotated[
        str,
        Meta(
            pattern=r"^(#[0-9a-fA-F]{6})?$",
            examples=["#e6a23c"],
            description="Shown in this colour. Left out: the viewer chooses.",
        ),
    ] = ""


@dataclass(frozen=True)
class Algorithm:
    """What a segmentation says of who made it (Segmentation Algorithm Identification, PS3.3 C.8.20.2)."""

    name: Annotated[str, Meta(max_length=64, description="Left out: the tool's title.")] = ""
    version: Annotated[str, Meta(max_length=64, description="Left out: the tool's version.")] = ""
    family: Annotated[
        Code, Meta(description="Algorithm family, CID 7162. Left out: artificial intelligence.")
    ] = _AI


@dataclass(frozen=True)
class Output:
    """What a tool leaves in {output}."""

    kind: Annotated[
        Literal["segmentation", "dicom"],
        Meta(
            description="'segmentation': a label map on the grid of the input, of which Kahu makes a "
            "DICOM SEG; 'dicom': every .dcm file below {output}, as it is."
        ),
    ]
    title: Annotated[str, Meta(max_length=64, description="Series Description of a segmentation.")] = ""
    file: Annotated[FileName, Meta(description="The label map in {output}: .nii.gz or .nii.")] = ""
    segments: Annotated[tuple[Segment, ...], Meta(description="What the values of the label map mean.")] = ()
    algorithm: Annotated[Algorithm, Meta(description="Named in a segmentation.")] = Algorithm()


@dataclass(frozen=True)
class Manifest:
    """All that `tool.toml` says."""

    name: Name
    version: Annotated[
        str,
        Meta(
            pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$",
            max_length=64,
            examples=["1.0.0"],
            description="Of the tool: a new one for every change.",
        ),
    ]
    title: Annotated[str, Meta(min_length=1, max_length=64, description="For people, a few words.")]
    description: Annotated[str, Meta(min_length=1, description="For people, a sentence or two.")]
    licence: Annotated[str, Meta(min_length=1, description="SPDX expression; of its weights, too.")]
    input: Input
    run: Program
    output: Output
    cite: Annotated[str, Meta(description="What to cite who uses it.")] = ""
    parameters: Annotated[
        Mapping[ParameterName, Parameter], Meta(description="What a person can set, by name.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tool(Manifest):
    """A tool: its manifest, and the folder it was read from."""

    folder: Path
    """where it lies"""
    digest: str
    """sha256 of all its files: a result says by it exactly what made it"""

    def parameter_schema(self) -> dict[str, Any]:
        """The parameters as one object in JSON schema."""
        properties = {name: parameter.schema() for name, parameter in self.parameters.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def values(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """The value of every parameter: as given, else its default. BadRequest tells all that is wrong."""
        wrong = [str(mistake) for mistake in mistakes(dict(given), self.parameter_schema())]
        if wrong:
            hint = f"its parameters are: {', '.join(self.parameters) or 'none'}"
            raise BadRequest(f"{self.title} cannot run so: {'; '.join(wrong)}", hint)
        return {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}

    def command(self, input: str, output: str, values: Mapping[str, Value]) -> tuple[str, ...]:
        """The command, every {placeholder} replaced."""
        words = {"input": input, "output": output} | {name: _word(value) for name, value in values.items()}
        return tuple(_PLACEHOLDER.sub(lambda found: words[found[1]], word) for word in self.run.command)


_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(folder: Path) -> Tool:
    """The tool in a folder. BadRequest names the file and tells everything that is wrong with it."""
    path = folder / MANIFEST
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        message = f"{folder} is no tool: it has no {MANIFEST} that can be read"
        raise BadRequest(message, "docs/tools/write-a-tool.md shows how to write one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} is not TOML: {error}", "https://toml.io shows how it is written") from error
    if wrong := list(mistakes(said, schema())):
        raise _refusal(path, wrong)
    manifest = msgspec.convert(said, Manifest, dec_hook=amount)
    try:
        tool = Tool(**vars(manifest), folder=folder, digest=digest(folder))
        wrong = list(_contradictions(tool))
    except OSError as error:
        message = f"{error.filename or folder} cannot be read: {error.strerror}"
        raise BadRequest(message, "every file of a tool must be readable") from error
    if wrong:
        raise _refusal(path, wrong)
    return tool


def files(folder: Path) -> list[Path]:
    """A tool's files, relative to its folder, in order of their names.

    Hidden ones (those of git, of editors) and what Python leaves behind are no part of a tool.
    """
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        paths = [Path(root, name) for name in names if not name.startswith(".")]
        found += [path.relative_to(folder) for path in paths if path.is_file()]
    return sorted(found, key=Path.as_posix)


def digest(folder: Path) -> str:
    """sha256 over all files of a tool, names and bytes, in order of their names."""
    total = hashlib.sha256()
    for path in files(folder):
        with (folder / path).open("rb") as file:
            one = hashlib.file_digest(file, "sha256")
        total.update(path.as_posix().encode() + b"\0" + one.digest())
    return total.hexdigest()


def schema() -> dict[str, Any]:
    """The JSON schema of `tool.toml`."""
    _, found = msgspec.json.schema_components([Manifest], schema_hook=_form, ref_template="#/$defs/{name}")
    parts = {name: _for_toml(part) for name, part in found.items()}
    top = parts.pop("Manifest")
    for part in (top, *parts.values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": parts}


def _form(kind: Any) -> dict[str, Any]:
    """How an amount is written."""
    return {"type": "string", "pattern": kind.pattern, "examples": [kind.example]}


def amount(kind: Any, text: str) -> Any:
    """What was written of an amount: its pattern has held already."""
    number, unit = re.findall(r"[\d.]+|\w+", text)
    return kind(float(number) * _UNITS[unit])


def _for_toml(part: Any) -> Any:
    """TOML has no null: what may be None may be left out. Defaults are told in the descriptions."""
    if isinstance(part, list):
        return [_for_toml(one) for one in part]
    if not isinstance(part, dict):
        return part
    rest = {key: _for_toml(value) for key, value in part.items() if key not in {"default", "properties"}}
    if "properties" in part:
        rest["properties"] = {name: _for_toml(value) for name, value in part["properties"].items()}
    kinds = [kind for kind in rest.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del rest["anyOf"]
        rest |= kinds[0]
    return rest


def _contradictions(tool: Tool) -> Iterator[Mistake]:
    """What a schema cannot see: keys that must fit each other, and files that must be there."""
    yield from _of_command(tool)
    yield from _of_requirements(tool)
    yield from _of_output(tool.output)
    for name, parameter in tool.parameters.items():
        if name in {"input", "output"}:
            yield Mistake(f"parameters.{name}", f"{{{name}}} has a meaning already; choose another name")
        yield from mistakes(parameter.default, parameter.schema(), at=f"parameters.{name}.default")


def _of_command(tool: Tool) -> Iterator[Mistake]:
    known = {"input", "output", *tool.parameters}
    used = {name for word in tool.run.command for name in _PLACEHOLDER.findall(word)}
    for name in sorted(used - known):
        near = get_close_matches(name, known, n=1)
        meant = f"; did you mean {{{near[0]}}}?" if near else f": there is no parameter {name!r}"
        yield Mistake("run.command", f"{{{name}}} is not known{meant}")
    for name in ("input", "output"):
        if name not in used:
            yield Mistake("run.command", f"{{{name}}} is missing: the program is not told its {name}")
    for word in tool.run.command:
        if word.endswith(".py") and not (tool.folder / word).is_file():
            yield Mistake("run.command", f"there is no {word} in the tool's folder")


def _of_requirements(tool: Tool) -> Iterator[Mistake]:
    name = tool.run.requirements
    if not name:
        return
    path = tool.folder / name
    if not path.is_file():
        yield Mistake("run.requirements", f"there is no {name} in the tool's folder")
        return
    lines = path.read_text("utf-8", errors="replace").replace("\\\n", " ").splitlines()
    packages = [package for line in lines if (package := line.split("#")[0].strip())]
    loose = [p for p in packages if not p.startswith("-") and not ("==" in p and "--hash=" in p)]
    if loose:
        more = f" (and {len(loose) - 1} more)" if len(loose) > 1 else ""
        how = f"make the file by 'uv pip compile --universal --generate-hashes requirements.in -o {name}'"
        yield Mistake("run.requirements", f"{loose[0]!r} lacks its version or its hashes{more}; {how}")


def _of_output(output: Output) -> Iterator[Mistake]:
    if output.kind == "dicom":
        if output.file or output.segments:
            yield Mistake("output", "'file' and 'segments' are for the kind 'segmentation'")
        return
    if not output.file.endswith((".nii", ".nii.gz")):
        yield Mistake("output.file", "a segmentation needs its label map's name, such as 'labels.nii.gz'")
    if not output.title:
        yield Mistake("output.title", "a segmentation needs a title")
    if not output.segments:
        yield Mistake("output.segments", "a segmentation needs at least one segment")
    for number, segment in enumerate(output.segments):
        for which, code in (("category", segment.category), ("type", segment.type)):
            if code.scheme.isdecimal():
                at = f"output.segments[{number}].{which}"
                yield Mistake(at, f"the code value comes first: [{code.scheme!r}, {code.value!r}, ...]")
    values = [segment.value for segment in output.segments]
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield Mistake("output.segments", f"two segments have the value {value}")


def _refusal(path: Path, wrong: list[Mistake]) -> BadRequest:
    message = f"{path} cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in wrong)
    return BadRequest(message, "mend it as docs/tools/manifest.md says")


if __name__ == "__main__":  # for docs/tools/tool.schema.json
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
