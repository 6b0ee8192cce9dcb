"""Which bytes answer which Accept, for objects and frames as they are kept."""

import pytest

from kahu.server.dicomweb.accept import parse
from kahu.server.dicomweb.forms import Form, frame_form, object_form

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG, JPEG_LS, HTJ2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
)
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"
OCTETS = Form("application/octet-stream", EXPLICIT, True)


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        (OHIF, EXPLICIT, OCTETS),
        (OHIF, IMPLICIT, OCTETS),
        (OHIF, BIG, OCTETS),
        (OHIF, JPEG, Form("image/jpeg", JPEG, True)),
        (OHIF, JPEG_LS, Form("image/jls", JPEG_LS, True)),
        (OHIF, HTJ2K, Form("image/jphc", HTJ2K, True)),
        (OHIF, RLE, Form("image/dicom-rle", RLE, True)),
        (OHIF, "1.2.3.4", Form("application/octet-stream", "1.2.3.4", True)),
        ("*/*", JPEG_LS, OCTETS),
        ('multipart/related; type="*/*"', JPEG_LS, OCTETS),
        ('multipart/related; type="*/*"; transfer-syntax=*', JPEG_LS, Form("image/jls", JPEG_LS, True)),
        ("multipart/related; type=application/octet-stream", JPEG, OCTETS),
        (f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}", JPEG, OCTETS),
        (
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}",
            JPEG_LS,
            Form("image/jls", JPEG_LS, True),
        ),
        ("multipart/related; type=image/jls", JPEG_LS, Form("image/jls", JPEG_LS, True)),
        ("image/jpeg", JPEG, Form("image/jpeg", JPEG, False)),
        ("application/octet-stream", JPEG, Form("application/octet-stream", EXPLICIT, False)),
        ("image/jpeg", EXPLICIT, None),
        ("image/jpeg", JPEG_LS, None),
        (f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}", EXPLICIT, None),
        ("text/html", EXPLICIT, None),
    ],
)
def test_one_frame(accept: str, stored: str, form: Form | None) -> None:
    (wanted,) = parse([accept])
    assert frame_form(wanted, stored, 1) == form


def test_several_frames_need_several_parts() -> None:
    (single,) = parse(["application/octet-stream"])
    assert frame_form(single, EXPLICIT, 2) is None
    (anything,) = parse(["*/*"])
    assert frame_form(anything, EXPLICIT, 2) == OCTETS


@pytest.mark.parametrize(
    ("accept", "stored", "objects", "form"),
    [
        ("*/*", {EXPLICIT}, 1, Form("application/dicom", "", True)),
        (
            'multipart/related; type="application/dicom"',
            {EXPLICIT, JPEG},
            3,
            Form("application/dicom", "", True),
        ),
        (
            "multipart/related; type=application/dicom; transfer-syntax=*",
            {JPEG},
            3,
            Form("application/dicom", "", True),
        ),
        ("application/dicom", {JPEG}, 1, Form("application/dicom", "", False)),
        ("application/dicom; transfer-syntax=*", {JPEG}, 1, Form("application/dicom", "", False)),
        (f"application/dicom; transfer-syntax={JPEG}", {JPEG}, 1, Form("application/dicom", "", False)),
        (f"application/dicom; transfer-syntax={EXPLICIT}", {JPEG}, 1, None),
        ("application/dicom", {JPEG}, 2, None),
        (f"multipart/related; type=application/dicom; transfer-syntax={JPEG}", {JPEG, EXPLICIT}, 2, None),
        ("application/dicom+json", {JPEG}, 1, None),
    ],
)
def test_whole_objects(accept: str, stored: set[str], objects: int, form: Form | None) -> None:
    (wanted,) = parse([accept])
    assert object_form(wanted, stored, objects) == form


def test_the_content_type_says_the_transfer_syntax() -> None:
    assert OCTETS.content_type == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
