"""What an author of a tool relies on when writing tool.toml."""

import json
import re
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kahu.errors import BadRequest
from kahu.tools import manifest
from kahu.tools.json_schema import mistakes
from kahu.tools.manifest import Code, Tool

REPOSITORY = Path(__file__).parents[2]

GOOD = """
    name = "bones"
    version = "2.1.0"
    title = "Bones"
    description = "Marks bones."
    licence = "MIT"

    [input]
    modality = ["CT"]

    [run]
    command = ["python", "bones.py", "{input}", "{output}/bones.nii", "--above={above}"]
    memory = "1.5 GiB"
    time = "20 min"

    [parameters.above]
    type = "number"
    default = 300
    minimum = -1000
    description = "HU"

    [parameters.smooth]
    type = "boolean"
    default = true

    [output]
    kind = "segmentation"
    file = "bones.nii"
    title = "Bones"

    [[output.segments]]
    value = 1
    label = "Bone"
    category = ["123037004", "SCT", "Anatomical Structure"]
    type = ["272673000", "SCT", "Bone"]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a tool's folder: the good manifest, with some text replaced."""

    def write(*changes: tuple[str, str]) -> Path:
        text = textwrap.dedent(GOOD)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        folder = tmp_path / "bones"
        folder.mkdir(exist_ok=True)
        (folder / "tool.toml").write_text(text, "utf-8")
        (folder / "bones.py").write_text("print('progress 1 done')\n", "utf-8")
        return folder

    return write


def refusal(folder: Path) -> str:
    with pytest.raises(BadRequest) as refused:
        manifest.read(folder)
    assert refused.value.hint
    return str(refused.value)


def test_a_manifest_says_everything_about_a_tool(write: Write) -> None:
    tool = manifest.read(write())
    assert (tool.name, tool.version, tool.title) == ("bones", "2.1.0", "Bones")
    assert (tool.input.modality, tool.input.min_slices, tool.input.form) == (("CT",), 1, "nifti")
    assert (tool.run.memory, tool.run.time) == (3 << 29, 1200)
    (segment,) = tool.output.segments
    assert segment.type == Code("272673000", "SCT", "Bone")
    assert tool.folder.name == "bones"


def test_the_command_is_told_its_input_output_and_parameters(write: Write) -> None:
    tool = manifest.read(write())
    command = tool.command("/job/in/image.nii.gz", "/job/out", tool.values({"above": 150.5}))
    expected = ("python", "bones.py", "/job/in/image.nii.gz", "/job/out/bones.nii", "--above=150.5")
    assert command == expected


def test_parameters_have_defaults_and_are_checked(write: Write) -> None:
    tool = manifest.read(write())
    assert tool.values({}) == {"above": 300, "smooth": True}
    with pytest.raises(BadRequest) as refused:
        tool.values({"above": -2000, "smooth": 1, "smoth": True})
    assert "above: must be at least -1000" in str(refused.value)
    assert "smooth: must be true or false" in str(refused.value)
    assert "'smoth' is not known here; did you mean 'smooth'?" in str(refused.value)
    assert refused.value.hint == "its parameters are: above, smooth"


def test_parameters_are_told_as_json_schema(write: Write) -> None:
    assert manifest.read(write()).parameter_schema() == {
        "type": "object",
        "properties": {
            "above": {"type": "number", "default": 300, "minimum": -1000, "description": "HU"},
            "smooth": {"type": "boolean", "default": True},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('licence = "MIT"', 'license = "MIT"', "'license' is not known here; did you mean 'licence'?"),
        ('modality = ["CT"]', 'modalities = ["CT"]', "input: 'modality' is missing"),
        ('modality = ["CT"]', 'modality = "CT"', "input.modality: must be a list"),
        ('memory = "1.5 GiB"', "memory = 4", "run.memory: must be text, in quotes, such as '4 GB'"),
        ('memory = "1.5 GiB"', 'memory = "lots"', "'lots' is not of the form asked for, such as '4 GB'"),
        ('"{output}/bones.nii"', '"{outptu}"', "{outptu} is not known; did you mean {output}?"),
        ('"{input}", ', "", "{input} is missing"),
        ('"bones.py"', '"bone.py"', "there is no bone.py in the tool's folder"),
        ('time = "20 min"', 'requirements = "pins.txt"', "there is no pins.txt in the tool's folder"),
        ('kind = "segmentation"', 'kind = "segmentatoin"', "did you mean 'segmentation'?"),
        ('kind = "segmentation"', 'kind = "dicom"', "'file' and 'segments' are for the kind 'segmentation'"),
        ('file = "bones.nii"', 'file = "../bones.nii"', "output.file: '../bones.nii' is not of the form"),
        ("value = 1", "value = 0", "output.segments[0].value: must be at least 1"),
        ('"SCT", "Bone"]', '"SCT"]', "a list of 3: code value, coding scheme, meaning"),
        (
            'type = ["272673000", "SCT", "Bone"]',
            'type = ["SCT", "272673000", "Bone"]',
            "output.segments[0].type: the code value comes first: ['272673000', 'SCT', ...]",
        ),
        ("default = 300", 'default = "300"', "parameters.above.default: must be a number"),
        ("default = true", "", "parameters.smooth: 'default' is missing"),
        ("[parameters.smooth]", "[parameters.input]", "{input} has a meaning already"),
        ('name = "bones"', 'name = "Bones!"', "name: 'Bones!' is not of the form"),
        ('name = "bones"', 'name = "bones', "is not TOML"),
    ],
)
def test_each_mistake_is_named(write: Write, old: str, new: str, told: str) -> None:
    message = refusal(write((old, new)))
    assert told in message
    assert "tool.toml" in message


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    message = refusal(write(('licence = "MIT"', "licence = 3"), ("value = 1", "value = 70000")))
    assert "licence: must be text" in message
    assert "output.segments[0].value: must be at most 65535" in message


def test_requirements_must_be_pinned_with_hashes(write: Write) -> None:
    folder = write(('time = "20 min"', 'requirements = "requirements.txt"'))
    pins = folder / "requirements.txt"
    pins.write_text("# made by uv\nnumpy==2.3.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n", "utf-8")
    assert manifest.read(folder).run.requirements == "requirements.txt"
    pins.write_text("numpy>=2\nscipy==1.17.0\n", "utf-8")
    assert "'numpy>=2' lacks its version or its hashes (and 1 more)" in refusal(folder)


def test_a_folder_without_a_manifest_is_no_tool(tmp_path: Path) -> None:
    assert "is no tool" in refusal(tmp_path)


def test_the_digest_is_of_all_files_and_of_nothing_else(write: Write) -> None:
    folder = write()
    before = manifest.read(folder).digest
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "bones.pyc").write_bytes(b"made by Python")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_bytes(b"made by git")
    (folder / "nowhere").symlink_to("not-there")
    assert manifest.read(folder).digest == before
    (folder / "bones.py").rename(folder / "bonez.py")
    write()
    (folder / "bonez.py").unlink()
    assert manifest.read(folder).digest == before
    (folder / "weights.bin").write_bytes(b"\0")
    assert manifest.read(folder).digest != before


def test_the_published_schema_is_the_one_that_is_checked() -> None:
    published = json.loads((REPOSITORY / "docs/tools/tool.schema.json").read_text("utf-8"))
    assert published == manifest.schema(), "run: python -m kahu.tools.manifest > docs/tools/tool.schema.json"


def test_the_reference_explains_every_key() -> None:
    reference = (REPOSITORY / "docs/tools/manifest.md").read_text("utf-8")
    schema = manifest.schema()
    for part in (schema, *schema["$defs"].values()):
        for key in part.get("properties", {}):
            assert re.search(rf"`[\[.\w]*\b{key}\]*`", reference), key


def test_a_tool_is_plain_data(write: Write) -> None:
    assert manifest.read(write()) == manifest.read(write())
    assert isinstance(manifest.read(write()), Tool)


def spoiled(said: Any, data: st.DataObject) -> Any:
    """A manifest in which something, somewhere, is something else."""
    if isinstance(said, dict | list) and said and data.draw(st.booleans()):
        copy = said.copy()
        places = list(said) if isinstance(said, dict) else range(len(said))
        place = data.draw(st.sampled_from(list(places)))
        copy[place] = spoiled(said[place], data)
        return copy
    simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return data.draw(st.recursive(simple, lambda some: st.lists(some) | st.dictionaries(st.text(), some)))


@given(data=st.data())
def test_whatever_is_said_is_either_fine_or_told_in_words(data: st.DataObject) -> None:
    said = spoiled(tomllib.loads(textwrap.dedent(GOOD)), data)
    wrong = list(mistakes(said, manifest.schema()))
    assert all(str(mistake) for mistake in wrong)
    if not wrong:
        msgspec.convert(said, manifest.Manifest, dec_hook=manifest.amount)
