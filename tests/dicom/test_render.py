"""Pictures look as PS3.3 says: each value of light is computed here by hand."""

import io
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pydicom.data
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from kahu.dicom.frames import Frames
from kahu.dicom.render import Display, Window, icon, jpeg, picture, png, thumbnail, thumbnail_of
from kahu.dicom.segmentation import AlgorithmFacts, Code, Segment, build
from kahu.dicom.transcode import transcoded
from kahu.dicom.volume import grid_of
from kahu.errors import BadRequest, NotAcceptable
from kahu.testing import samples


def an_image(values: Any, **attributes: Any) -> tuple[NDArray[Any], Dataset]:
    """Stored values and an MR object around them, with no window of its own unless given."""
    frame = np.asarray(values, np.uint16)
    nothing = {"WindowCenter": None, "WindowWidth": None}
    dataset = samples.instance(modality="MR", pixels=frame, attributes=nothing | attributes)
    return frame, dataset


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# Windows (PS3.3 C.11.2.1.2, C.11.2.1.3)


def test_a_linear_window_goes_from_black_to_white_over_its_width() -> None:
    frame, dataset = an_image([[0, 1, 2, 3, 4, 5, 9]])
    # c - 0.5 - (w - 1) / 2 = 0 is black, c - 0.5 + (w - 1) / 2 = 5 is white
    assert picture(frame, dataset, window=Window(3, 6)).tolist() == [[0, 51, 102, 153, 204, 255, 255]]


def test_a_linear_exact_window_has_its_middle_at_the_center() -> None:
    frame, dataset = an_image([[0, 5, 10]])
    exact = Window(5, 10, "LINEAR_EXACT")
    assert picture(frame, dataset, window=exact).tolist() == [[0, 128, 255]]


def test_a_sigmoid_window_never_quite_ends() -> None:
    frame, dataset = an_image([[0, 100, 200]])
    grey = picture(frame, dataset, window=Window(100, 100, "SIGMOID"))
    # 255 / (1 + exp(-4 (x - c) / w))
    assert grey.tolist() == [[5, 128, 250]]


def test_a_window_of_width_one_is_a_threshold() -> None:
    frame, dataset = an_image([[4, 5, 6]])
    assert picture(frame, dataset, window=Window(5, 1)).tolist() == [[0, 255, 255]]


@pytest.mark.parametrize("window", [Window(0, 0), Window(0, 0.5), Window(0, 0, "SIGMOID")])
def test_a_width_that_the_standard_forbids_is_refused(window: Window) -> None:
    frame, dataset = an_image([[1]])
    with pytest.raises(BadRequest, match="width"):
        picture(frame, dataset, window=window)


def test_windows_are_meant_for_hounsfield_units_not_for_stored_values() -> None:
    frame = np.array([[0, 1024 - 160, 1024 + 239, 4000]], np.uint16)
    dataset = samples.instance(modality="CT", pixels=frame.astype(np.int16) - 1024)
    assert (dataset.WindowCenter, dataset.WindowWidth) == (40, 400)
    assert picture(frame, dataset).tolist() == [[0, 0, 255, 255]]
    del dataset.WindowCenter, dataset.WindowWidth  # soft tissue is what a CT without a window gets
    assert picture(frame, dataset).tolist() == [[0, 0, 255, 255]]


def test_the_frames_of_a_multi_frame_object_have_windows_of_their_own() -> None:
    dataset = samples.multiframe(pixels=np.full((2, 1, 3), 100, np.int16))
    for group, center in zip(dataset.PerFrameFunctionalGroupsSequence, ("101", "90"), strict=True):
        voi = Dataset()
        voi.WindowCenter, voi.WindowWidth = center, "2"
        group.FrameVOILUTSequence = [voi]
    frame = np.array([[99, 100, 101]], np.uint16)
    assert picture(frame, dataset, 1).tolist() == [[0, 0, 255]]
    assert picture(frame, dataset, 2).tolist() == [[255, 255, 255]]


# Where the object says nothing useful


def test_without_a_window_nearly_all_values_can_be_told_apart() -> None:
    values = np.random.default_rng(1).normal(1000, 100, (64, 64)).clip(0)
    values[0, 0] = 60000  # one hot pixel must not make the rest black
    frame, dataset = an_image(values)
    for silly in ({}, {"WindowCenter": "0", "WindowWidth": "0"}):  # some scanners write a width of 0
        _, dataset = an_image(values, **silly)
        grey = picture(frame, dataset)
        assert 100 < np.median(grey) < 155
        assert np.percentile(grey, 90) - np.percentile(grey, 10) > 100


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    frame = np.array([[0, 7, 200, 255]], np.uint8)
    _, dataset = an_image(frame, BitsStored=8, BitsAllocated=8, HighBit=7)
    assert picture(frame, dataset).tolist() == frame.tolist()


def test_an_image_of_one_value_and_an_image_with_gaps_are_pictures_too() -> None:
    frame, dataset = an_image(np.full((4, 4), 7))
    assert picture(frame, dataset).shape == (4, 4)
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    values[0, 0] = np.nan
    grey = picture(values, dataset)
    assert grey[0, 0] == 0
    assert grey[3, 3] == 255


def test_padding_is_black_and_does_not_count() -> None:
    values = np.full((20, 20), 5000)
    values[:10] = np.linspace(5100, 5200, 20)
    values[15:] = 0
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        frame, dataset = an_image(values, PixelPaddingValue=0, PhotometricInterpretation=photometric)
        grey = picture(frame, dataset)
        assert not grey[15:].any()
        assert abs(int(grey[0, 0]) - int(grey[0, 19])) > 100


# Grey that is not straight


INVERTED = ({"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"})


@pytest.mark.parametrize("how", INVERTED)
def test_monochrome1_is_white_where_values_are_low(how: dict[str, str]) -> None:
    frame, dataset = an_image([[0, 5]], **how)
    assert picture(frame, dataset, window=Window(3, 6)).tolist() == [[255, 0]]


def a_lut(keyword: str, entries: list[int], first: int, bits: int) -> dict[str, Any]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return {keyword: [item]}


def test_a_voi_lut_is_looked_up_and_its_ends_hold_beyond() -> None:
    frame, dataset = an_image([[0, 10, 11, 12, 99]], **a_lut("VOILUTSequence", [0, 255, 102], 10, 8))
    assert picture(frame, dataset).tolist() == [[0, 0, 255, 102, 102]]


def test_a_modality_lut_comes_before_the_window() -> None:
    attributes = a_lut("ModalityLUTSequence", [5, 0, 2], 0, 8)
    attributes["ModalityLUTSequence"][0].ModalityLUTType = "US"
    frame, dataset = an_image([[0, 1, 2]], **attributes)
    assert picture(frame, dataset, window=Window(3, 6)).tolist() == [[255, 0, 102]]


def test_attributes_that_make_no_sense_are_refused_not_raised() -> None:
    attributes = a_lut("VOILUTSequence", [0, 255], 0, 8)
    del attributes["VOILUTSequence"][0].LUTDescriptor
    frame, dataset = an_image([[0, 1]], **attributes)
    with pytest.raises(NotAcceptable, match="no sense"):
        picture(frame, dataset)
    assert thumbnail_of(dataset) == icon("MR")


def test_a_window_that_is_no_number_is_no_window() -> None:
    frame, dataset = an_image([[0, 100]], BitsStored=8)
    dataset._dict[Tag(0x00281050)] = RawDataElement(Tag(0x00281050), "DS", 4, b"wide", 0, False, True)
    dataset.WindowWidth = 10
    assert picture(frame, dataset).tolist() == [[0, 100]]


def test_what_an_object_says_of_its_look_can_be_kept_without_it() -> None:
    """Whoever renders many frames reads the attributes once."""
    attributes = a_lut("VOILUTSequence", [0, 255, 9], 0, 8)
    for frame, dataset in (
        an_image([[0, 1, 2]], WindowCenter=1, WindowWidth=3, PhotometricInterpretation="MONOCHROME1"),
        an_image([[0, 1, 2]], PixelPaddingValue=2, RescaleSlope=4, RescaleIntercept=-2),
        an_image([[0, 1, 2]], **attributes),
    ):
        display = Display.of(dataset)
        expected = picture(frame, dataset)
        dataset.clear()
        np.testing.assert_array_equal(picture(frame, display), expected)


SYNTAXES = [*samples.TRANSFER_SYNTAXES, *(f"1.2.840.10008.1.2.4.{n}" for n in (70, 91, 110, 202))]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_picture_is_the_same_whatever_the_transfer_syntax(syntax: str) -> None:
    data = samples.encode(samples.instance(modality="MR"))
    made = pydicom.dcmread(io.BytesIO(transcoded(lambda o, n: data[o : o + n], len(data), syntax)))
    expected = picture(Frames(pydicom.dcmread(io.BytesIO(data))).decode(), made)
    np.testing.assert_array_equal(picture(Frames(made).decode(), made), expected)


@pytest.mark.parametrize(
    "name",
    [
        "rtdose.dcm",
        "liver_1frame.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
        "SC_rgb_rle_32bit.dcm",
    ],
)
def test_every_kind_of_image_has_a_picture(name: str) -> None:
    """Doses of 32 bits, single bits, palettes, colour of many kinds."""
    dataset = pydicom.dcmread(Path(pydicom.data.__file__).parent / "test_files" / name)
    number = (len(Frames(dataset)) + 1) // 2
    image = picture(Frames(dataset).decode(number), dataset, number)
    assert image.dtype == np.uint8
    assert image.shape[:2] == (dataset.Rows, dataset.Columns)
    assert np.ptp(image) > 100, "there is something to be seen"
    assert opened(jpeg(image)).size == opened(png(image)).size == (dataset.Columns, dataset.Rows)


def test_a_parametric_map_has_a_picture() -> None:
    dataset = samples.instance(rows=2, columns=3)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.WindowCenter, dataset.WindowWidth
    dataset.RescaleIntercept, dataset.BitsAllocated = 0, 32
    dataset.FloatPixelData = np.array([0, 0.5, 1, np.nan, 0.25, 1], "<f4").tobytes()
    image = picture(Frames(dataset).decode(), dataset)
    assert image[0, 0] == image[1, 0] == 0
    assert image[0, 2] == 255


# Colour


def test_palette_colour_is_looked_up() -> None:
    frame, dataset = an_image([[0, 1], [2, 9]], PhotometricInterpretation="PALETTE COLOR")
    for colour, entries in (("Red", [0, 0xFF00, 0]), ("Green", [0, 0, 0x8000]), ("Blue", [0x1000, 0, 0])):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [3, 0, 16])
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", np.array(entries, "<u2").tobytes())
    assert picture(frame, dataset).tolist() == [[[0, 0, 16], [255, 0, 0]], [[0, 128, 0], [0, 128, 0]]]
    del dataset.BluePaletteColorLookupTableData
    with pytest.raises(NotAcceptable, match="no sense"):
        picture(frame, dataset)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_segmented_palette_is_expanded_in_its_byte_order(order: str) -> None:
    frame, dataset = an_image([[0, 1], [2, 3]], PhotometricInterpretation="PALETTE COLOR")
    dataset.set_original_encoding(False, order == "<")
    discrete_then_linear = np.array([0, 2, 0, 0x4000, 1, 2, 0xC000], f"{order}u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [4, 0, 16])
        dataset.add_new(f"Segmented{colour}PaletteColorLookupTableData", "OW", discrete_then_linear)
    assert picture(frame, dataset)[..., 0].tolist() == [[0, 0x40], [0x80, 0xC0]]


def test_colour_of_sixteen_bits_becomes_eight() -> None:
    frame = np.array([[[0, 0x8000, 0xFFFF]]], np.uint16)
    _, dataset = an_image([[0]], PhotometricInterpretation="RGB", SamplesPerPixel=3)
    assert picture(frame, dataset).tolist() == [[[0, 128, 255]]]
    dataset.PhotometricInterpretation = "CMYK"
    with pytest.raises(NotAcceptable, match="CMYK"):
        picture(frame, dataset)


# Files


def test_jpeg_and_png_are_what_they_say() -> None:
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    for data, kind in ((jpeg(grey), "JPEG"), (png(grey), "PNG")):
        image = opened(data)
        assert (image.format, image.mode, image.size) == (kind, "L", (64, 64))
        np.testing.assert_allclose(np.asarray(image), grey, atol=4)
    colour = np.zeros((8, 8, 3), np.uint8)
    assert opened(jpeg(colour)).mode == opened(png(colour)).mode == "RGB"


# Thumbnails


@pytest.mark.parametrize(
    ("shape", "spacing", "size"),
    [
        ((512, 512), (1, 1, 1), (256, 256)),
        ((600, 300), (1, 1, 1), (128, 256)),
        ((300, 900), (1, 1, 1), (256, 85)),
        ((64, 48), (1, 1, 1), (48, 64)),  # small ones stay small
        ((100, 400), (1, 4, 1), (256, 256)),  # rows are four times as far apart as columns
    ],
)
def test_a_thumbnail_fits_and_has_the_proportions_of_the_patient(
    shape: tuple[int, int], spacing: tuple[float, float, float], size: tuple[int, int]
) -> None:
    dataset = samples.instance(pixels=np.zeros(shape, np.int16), spacing=spacing)
    assert opened(thumbnail(Frames(dataset).decode(), dataset)).size == size


def test_the_thumbnail_of_a_multi_frame_object_shows_its_middle() -> None:
    pixels = np.zeros((5, 16, 16), np.int16)
    pixels[2] = 800
    image = np.asarray(opened(thumbnail_of(samples.multiframe(pixels=pixels))))
    assert image.min() > 200


def a_seg(labels: NDArray[np.uint8], datasets: list[Dataset]) -> Dataset:
    code = Code("123037004", "SCT", "Anatomical Structure")
    segments = [Segment(1, "One", code, code, "#ff0000"), Segment(2, "Two", code, code, "#0000ff")]
    return build(
        grid_of(datasets), labels, segments, series_description="S", algorithm=AlgorithmFacts("a", "1")
    )


def test_the_thumbnail_of_a_segmentation_shows_most_of_its_segments_in_their_colours() -> None:
    datasets = [samples.instance(number=n) for n in (1, 2, 3)]
    labels = np.zeros((3, 64, 64), np.uint8)
    labels[0, :8, :8] = 2
    labels[1, :32] = 1
    labels[1, 32:, :32] = 2
    image = np.asarray(opened(thumbnail_of(a_seg(labels, datasets)))).astype(int)
    for (row, column), colour in (((10, 30), (255, 0, 0)), ((50, 10), (0, 0, 255)), ((50, 54), (0, 0, 0))):
        np.testing.assert_allclose(image[row, column], colour, atol=12)


def test_the_thumbnail_of_an_empty_segmentation_is_a_tile() -> None:
    datasets = [samples.instance(number=n) for n in (1, 2)]
    assert thumbnail_of(a_seg(np.zeros((2, 64, 64), np.uint8), datasets)) == icon("SEG")


def test_what_has_no_picture_gets_a_tile_with_its_name() -> None:
    assert thumbnail_of(samples.document()) == icon("PDF")
    report = Dataset()
    report.Modality = "SR"
    assert thumbnail_of(report) == icon("SR")
    broken = samples.instance()
    broken.PixelData = b"\0\0"
    assert thumbnail_of(broken) == icon("CT")
    assert opened(icon("RTSTRUCT")).size == (256, 256)
    assert len({icon(name) for name in ("SR", "PDF", "RTSTRUCT")}) == 3
    assert opened(icon("RTSTRUCT", side=1)).size == (1, 1)  # too small for letters


def test_highdicom_agrees_on_the_window_of_a_ct() -> None:
    """Another library's rendering, as a second opinion on the whole way."""
    dataset = samples.instance(modality="CT")
    image = highdicom.Image.from_dataset(dataset)
    expected = image.get_frame(1, apply_voi_transform=True, voi_output_range=(0, 255), dtype=np.float64)
    np.testing.assert_allclose(picture(Frames(dataset).decode(), dataset), expected, atol=0.51)
