"""The header reader against pydicom, over every file that pydicom and pydicom-data bring."""

import warnings
from pathlib import Path

import data_store
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue

from kahu.dicom.attributes import INDEX
from kahu.dicom.header import Header, read_header
from kahu.errors import NotDicom

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
ROOTS = [Path(package.__file__ or "").parent / "data" for package in (pydicom, data_store)]
FILES = sorted(path for root in ROOTS for path in root.rglob("*") if path.is_file())

# pydicom gives the UIDs of these, for it does not look whether the values are all there.
TRUNCATED = {"MR_truncated.dcm", "rtplan_truncated.dcm"}


def header_of(data: bytes) -> Header:
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def read_by_pydicom(path: Path) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


def text_by_pydicom(ds: FileDataset, keyword: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = ds.get(keyword)
    if value is None:
        return ""
    values = value if isinstance(value, MultiValue | list) else [value]
    texts = [str(one).replace("\0", "").strip(" ") for one in values]
    return "\\".join(texts)


def test_there_is_something_to_compare() -> None:
    assert len(FILES) > 250


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_as_pydicom(path: Path) -> None:
    data = path.read_bytes()
    ds = read_by_pydicom(path)
    try:
        header = header_of(data)
    except NotDicom:
        known = all(text_by_pydicom(ds, keyword) for keyword in UIDS)
        assert not known or path.name in TRUNCATED
        return
    expected = {keyword: text for keyword in INDEX if (text := text_by_pydicom(ds, keyword))}
    # pydicom leaves out empty groups at the end of a name; they mean the same.
    assert {keyword: text.rstrip("=") for keyword, text in header.attributes.items()} == expected
    assert [
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        header.series_instance_uid,
    ] == [ds[keyword].value for keyword in UIDS]
    if stated := ds.file_meta.get("TransferSyntaxUID"):
        assert header.transfer_syntax_uid == stated

    pixels = header.pixels
    if pixels is None:
        assert not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & {e.keyword for e in ds}
    elif pixels.offset >= 0:
        assert data[pixels.offset :].startswith(ds[pixels.keyword].value)
        assert pixels.length in (None, len(ds[pixels.keyword].value))
        assert (pixels.length is None) == ds[pixels.keyword].is_undefined_length
