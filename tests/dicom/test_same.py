"""Whether two files say the same: what writers may do, and what makes another object."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from kahu.dicom.same import says_the_same
from kahu.testing import samples

SYNTAXES = samples.TRANSFER_SYNTAXES
EXPLICIT_LE = "1.2.840.10008.1.2.1"


def same(one: bytes, other: bytes) -> bool:
    return says_the_same(
        lambda offset, length: one[offset : offset + length],
        len(one),
        lambda offset, length: other[offset : offset + length],
        len(other),
    )


def instance(syntax: str = EXPLICIT_LE) -> Dataset:
    dataset = samples.instance(transfer_syntax=syntax)
    item = Dataset()
    item.ScheduledProcedureStepID = "S-1"
    dataset.RequestAttributesSequence = [item]
    return dataset


def without_lengths(dataset: Dataset) -> None:
    sequence = dataset["RequestAttributesSequence"]
    sequence.is_undefined_length = not sequence.is_undefined_length
    for item in sequence.value:
        item.is_undefined_length_sequence_item = sequence.is_undefined_length


def blanks(dataset: Dataset) -> None:
    dataset.StudyDescription = f"{dataset.StudyDescription}    "


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("change", [without_lengths, blanks])
def test_writers_differ_and_the_object_is_the_same(change: Callable[[Dataset], None], syntax: str) -> None:
    dataset = instance(syntax)
    first = samples.encode(dataset)
    change(dataset)
    anew = samples.encode(dataset)
    assert anew != first
    assert same(first, anew)


def test_group_lengths_are_no_part_of_an_object() -> None:
    first = samples.encode(instance())
    at = first.index(b"\x08\x00\x16\x00UI")
    assert same(first, first[:at] + b"\x08\x00\x00\x00UL\x04\x00\x64\x00\x00\x00" + first[at:])


def test_trailing_padding_is_no_part_of_an_object() -> None:
    dataset = instance()
    first = samples.encode(dataset)
    dataset.add_new(0xFFFCFFFC, "OB", bytes(20))
    assert same(first, samples.encode(dataset))
    dataset.add_new(0x7FE10010, "LO", "private")
    assert not same(first, samples.encode(dataset))


def one_pixel(dataset: Dataset) -> None:
    pixels = np.frombuffer(dataset.PixelData, np.uint8).copy()
    pixels[-1] ^= 1
    dataset.PixelData = pixels.tobytes()


def in_a_sequence(dataset: Dataset) -> None:
    dataset.RequestAttributesSequence[0].ScheduledProcedureStepID = "S-2"


def one_more(dataset: Dataset) -> None:
    dataset.StudyID = "1234"


def no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("change", [one_pixel, in_a_sequence, one_more, no_pixels])
def test_what_says_something_else_is_another_object(change: Callable[[Dataset], None], syntax: str) -> None:
    dataset = instance(syntax)
    first = samples.encode(dataset)
    change(dataset)
    assert not same(first, samples.encode(dataset))


def test_what_cannot_be_read_is_not_the_same() -> None:
    data = samples.encode(instance())
    assert not same(data, data[:300])
    assert not same(b"", data)


def test_a_long_value_counts() -> None:
    dataset = instance()
    dataset.add_new(0x00091010, "OB", bytes(200_000))
    first = samples.encode(dataset)
    dataset.add_new(0x00091010, "OB", bytes(199_998) + b"\0\1")
    assert same(first, first)
    assert not same(first, samples.encode(dataset))


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "JPEG2000.dcm", "reportsi.dcm", "image_dfl.dcm", "rtplan.dcm"]
)
def test_real_files_that_pydicom_writes_anew(name: str, tmp_path: Path) -> None:
    path = Path(str(get_testdata_file(name)))
    dataset = pydicom.dcmread(path)
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = not element.is_undefined_length
    dataset.save_as(tmp_path / name)
    assert same(path.read_bytes(), (tmp_path / name).read_bytes())
