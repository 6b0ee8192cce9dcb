"""DICOM JSON against pydicom's, over every file that pydicom and pydicom-data bring.

`as_we_write` is the list of differences that `kahu.dicom.json_model` names, and nothing else.
"""

import json
import math
import warnings
from base64 import b64encode
from pathlib import Path
from typing import Any

import data_store
import pydicom
import pytest
from pydicom.dataset import FileDataset

from kahu.dicom.header import Header, Omitted, read_header
from kahu.dicom.json_model import bulk_base, to_json, value_at
from kahu.dicom.syntaxes import EXPLICIT_BE
from kahu.errors import NotDicom

ROOTS = [Path(package.__file__ or "").parent / "data" for package in (pydicom, data_store)]
FILES = sorted(path for root in ROOTS for path in root.rglob("*") if path.is_file())
BASE = bulk_base("S", "E", "I")
PIXELS = ("7FE00008", "7FE00009", "7FE00010")
NOT_BY_PYDICOM = {"badVR.dcm"}  # an IS that is no integer: it raises


def written(data: bytes, header: Header) -> dict[str, Any]:
    document = to_json(
        header.raw,
        header.implicit,
        header.omitted,
        pixels_vr=header.pixels.vr if header.pixels else None,
        bulk_base=BASE,
    )
    instance: dict[str, Any] = json.loads(document)
    return with_bulk_data(instance, data, header, "")


def with_bulk_data(instance: dict[str, Any], data: bytes, header: Header, path: str) -> dict[str, Any]:
    """With every value in its place, fetched by its URI; each of them is too long to be there by itself."""
    for tag, attribute in instance.items():
        for n, item in enumerate(attribute.get("Value", []) if attribute["vr"] == "SQ" else []):
            with_bulk_data(item, data, header, f"{path}{tag}/{n}/")
        if (uri := attribute.pop("BulkDataURI", None)) is None:
            continue
        assert uri == f"{BASE}/{path}{tag}"
        if not path and tag in PIXELS:
            continue
        value = value_at(header.raw, header.implicit, header.omitted, path + tag)
        if isinstance(value, Omitted):
            value = data[value.offset : value.offset + value.length]
        assert len(value) > 1024
        attribute["InlineBinary"] = b64encode(value).decode()
    return instance


def as_we_write(instance: dict[str, Any], top: bool = True) -> dict[str, Any]:
    """pydicom's JSON without what we write in another way."""
    result = {}
    for tag, attribute in instance.items():
        if tag.endswith("0000"):
            continue
        vr = attribute["vr"]
        if top and tag in PIXELS:
            attribute = {"vr": vr}
        elif tag == "00080005":
            attribute = {"vr": vr, "Value": ["ISO_IR 192"]}
        elif vr == "SQ":
            attribute = {"vr": vr, "Value": [as_we_write(item, top=False) for item in attribute["Value"]]}
        elif "Value" in attribute:
            attribute = {"vr": vr, "Value": [value_as_we_write(value) for value in attribute["Value"]]}
        if attribute.get("Value") in ([], [None]):
            del attribute["Value"]
        result[tag] = attribute
    return result


def value_as_we_write(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: name for group, text in value.items() if (name := text.strip(" "))} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return value


def by_pydicom(path: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        instance: dict[str, Any] = pydicom.dcmread(path, force=True).to_json_dict()
    return instance


def without_turned_words(instance: dict[str, Any]) -> dict[str, Any]:
    """pydicom gives words of big endian files as they are there, F.2.7 wants them in little endian."""
    return {
        tag: {"vr": "OW"} if attribute["vr"] == "OW" else attribute for tag, attribute in instance.items()
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_as_pydicom(path: Path) -> None:
    data = path.read_bytes()
    try:
        header = read_header(lambda offset, length: data[offset : offset + length], len(data))
    except NotDicom:
        return
    instance = written(data, header)
    assert list(instance) == sorted(instance)
    if path.name in NOT_BY_PYDICOM:
        with pytest.raises(ValueError):
            by_pydicom(path)
        return
    expected = as_we_write(by_pydicom(path))
    if header.transfer_syntax_uid == EXPLICIT_BE:
        instance, expected = without_turned_words(instance), without_turned_words(expected)
    assert instance == expected


def test_another_reader_understands_it() -> None:
    """pydicom's reader of DICOM JSON gives back what its reader of files gives."""
    path = Path(pydicom.__file__ or "").parent / "data/test_files/CT_small.dcm"
    data = path.read_bytes()
    header = read_header(lambda offset, length: data[offset : offset + length], len(data))
    document = to_json(header.raw, header.implicit, header.omitted, pixels_vr=None, bulk_base=BASE)
    again = pydicom.Dataset.from_json(document.decode(), lambda *_: b"")
    ds: FileDataset = pydicom.dcmread(path, stop_before_pixels=True)
    ds.SpecificCharacterSet = "ISO_IR 192"
    inline = [e for e in ds if e.tag.element and not (isinstance(e.value, bytes) and len(e.value) > 1024)]
    assert len(inline) > 200
    assert [again[element.tag] for element in inline] == inline
