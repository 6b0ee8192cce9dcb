"""Which bytes answer which Accept, for objects and frames as they are kept or transcoded."""

import pytest

from kahu.errors import NotAcceptable
from kahu.server.dicomweb.accept import parse
from kahu.server.dicomweb.forms import Form, Kept, frame_form, object_forms

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG, LOSSLESS_JPEG, JPEG_LS, HTJ2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
)
MPEG = "1.2.840.10008.1.2.4.102"
CAN = {
    EXPLICIT: (EXPLICIT, IMPLICIT, JPEG_LS),
    IMPLICIT: (IMPLICIT, EXPLICIT, JPEG_LS),
    BIG: (BIG, EXPLICIT),
    JPEG: (JPEG, EXPLICIT, LOSSLESS_JPEG),
    JPEG_LS: (JPEG_LS, EXPLICIT),
    HTJ2K: (HTJ2K, EXPLICIT),
    RLE: (RLE, EXPLICIT),
}
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"
OCTETS = Form("application/octet-stream", EXPLICIT, True)
DICOM = 'multipart/related; type="application/dicom"'


def kept(syntax: str) -> Kept:
    return Kept(syntax, lambda: CAN.get(syntax, (syntax,)))


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
        ("*/*", "1.2.3.4", Form("application/octet-stream", "1.2.3.4", True)),
        ('multipart/related; type="*/*"', JPEG_LS, OCTETS),
        ('multipart/related; type="*/*"; transfer-syntax=*', JPEG_LS, Form("image/jls", JPEG_LS, True)),
        ("multipart/related; type=application/octet-stream", JPEG, OCTETS),
        (f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}", JPEG, OCTETS),
        (
            f"multipart/related; type=application/octet-stream; transfer-syntax={JPEG_LS}",
            JPEG_LS,
            Form("image/jls", JPEG_LS, True),
        ),
        (
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}",
            JPEG_LS,
            Form("image/jls", JPEG_LS, True),
        ),
        ("multipart/related; type=image/jls", JPEG_LS, Form("image/jls", JPEG_LS, True)),
        ("multipart/related; type=image/jls", EXPLICIT, Form("image/jls", JPEG_LS, True)),
        (f'image/jls; transfer-syntax="{JPEG_LS}"', EXPLICIT, Form("image/jls", JPEG_LS, False)),
        ("image/jpeg", JPEG, Form("image/jpeg", JPEG, False)),
        (f"image/jpeg; transfer-syntax={LOSSLESS_JPEG}", JPEG, Form("image/jpeg", LOSSLESS_JPEG, False)),
        ("image/*", JPEG, Form("image/jpeg", JPEG, False)),
        ("image/*", EXPLICIT, Form("image/jls", JPEG_LS, False)),
        ("application/octet-stream", JPEG, Form("application/octet-stream", EXPLICIT, False)),
        ("image/jp2, image/jls;q=0.5", JPEG_LS, Form("image/jls", JPEG_LS, False)),
        ("image/*, image/jpeg;q=0", JPEG, None),
        ("image/jpeg", EXPLICIT, None),
        ("image/jpeg", JPEG_LS, None),
        (f"multipart/related; type=image/jls; transfer-syntax={RLE}", RLE, None),
        ("text/html", EXPLICIT, None),
    ],
)
def test_one_frame(accept: str, stored: str, form: Form | None) -> None:
    if form is None:
        with pytest.raises(NotAcceptable):
            frame_form(parse([accept]), kept(stored), 1)
    else:
        assert frame_form(parse([accept]), kept(stored), 1) == form


def test_several_frames_need_several_parts() -> None:
    with pytest.raises(NotAcceptable):
        frame_form(parse(["application/octet-stream"]), kept(EXPLICIT), 2)
    assert frame_form(parse(["*/*"]), kept(EXPLICIT), 2) == OCTETS


@pytest.mark.parametrize("stored", [EXPLICIT, BIG, JPEG, MPEG])
def test_what_is_said_to_be_acceptable_for_a_frame_is(stored: str) -> None:
    with pytest.raises(NotAcceptable) as refused:
        frame_form(parse(["text/html"]), kept(stored), 1)
    for media_type in refused.value.acceptable:
        assert frame_form(parse([media_type]), kept(stored), 1).transfer_syntax in media_type


@pytest.mark.parametrize(
    ("accept", "stored", "given"),
    [
        ("*/*", [EXPLICIT], [EXPLICIT]),
        (DICOM, [EXPLICIT, JPEG], [EXPLICIT, JPEG]),
        (f"{DICOM}; transfer-syntax=*", [JPEG], [JPEG]),
        (f"{DICOM}; transfer-syntax={EXPLICIT}", [JPEG, EXPLICIT], [EXPLICIT, EXPLICIT]),
        (f"{DICOM}; transfer-syntax={EXPLICIT}", [JPEG, MPEG], None),
        (
            f"{DICOM}; transfer-syntax={EXPLICIT}, {DICOM}; transfer-syntax=*; q=0.5",
            [JPEG, MPEG],
            [EXPLICIT, MPEG],
        ),
        (f"{DICOM}; transfer-syntax={EXPLICIT}; q=0.2, {DICOM}; transfer-syntax=*", [JPEG], [JPEG]),
        (f"{DICOM}; transfer-syntax=1.2.3", [JPEG], None),
        ("application/dicom", [JPEG, JPEG], None),
        ("multipart/related", [JPEG, JPEG], [JPEG, JPEG]),
        ("application/dicom+json", [JPEG], None),
    ],
)
def test_whole_objects(accept: str, stored: list[str], given: list[str] | None) -> None:
    objects = [kept(syntax) for syntax in stored]
    if given is None:
        with pytest.raises(NotAcceptable):
            object_forms(parse([accept]), objects)
    else:
        forms = object_forms(parse([accept]), objects)
        assert [form.transfer_syntax for form in forms] == given
        assert all(form.multipart for form in forms)


@pytest.mark.parametrize(
    ("accept", "multipart"),
    [
        ("application/dicom", False),
        (f"application/dicom; transfer-syntax={EXPLICIT}", False),
        ("application/*", False),
        ("*/*", True),
        (f"application/dicom; q=0.5, {DICOM}", True),
        (f"application/dicom, {DICOM}; q=0.5", False),
        ("application/dicom, */*; q=0", False),
    ],
)
def test_a_single_object_may_be_the_whole_body(accept: str, multipart: bool) -> None:
    (form,) = object_forms(parse([accept]), [kept(JPEG_LS)])
    assert form.multipart == multipart


def test_what_is_said_to_be_acceptable_for_objects_is() -> None:
    objects = [kept(JPEG), kept(EXPLICIT)]
    with pytest.raises(NotAcceptable) as refused:
        object_forms(parse(["text/html"]), objects)
    assert refused.value.acceptable == [f"{DICOM}; transfer-syntax={syntax}" for syntax in ("*", EXPLICIT)]
    for media_type in refused.value.acceptable:
        assert len(object_forms(parse([media_type]), objects)) == 2


def test_the_content_type_says_the_transfer_syntax() -> None:
    assert OCTETS.content_type == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
