"""WADO-URI (PS3.18 §9): parameters instead of paths."""

import io
import logging
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from kahu.access import Grant
from kahu.testing import samples

PIXELS = np.arange(64, dtype=np.int16).reshape(8, 8) * 4
CT = samples.instance(pixels=PIXELS)
LOSSLESS = samples.instance(transfer_syntax=JPEGLSLossless, patient_id="P-2")
ENHANCED = samples.multiframe(frames=3, patient_id="P-3")
DOCUMENT = samples.document(patient_id="P-4")


@pytest.fixture(scope="module")
def door(shared_archive: Any) -> Any:
    shared_archive.add(CT, LOSSLESS, ENHANCED, DOCUMENT)
    return shared_archive.client()


def get(door: Any, ds: Any, **params: str) -> Any:
    named = {"requestType": "WADO", "studyUID": ds.StudyInstanceUID, "seriesUID": ds.SeriesInstanceUID}
    return door.get("/dicomweb/wado", params={**named, "objectUID": ds.SOPInstanceUID, **params})


def pixels(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_by_default_one_frame_is_a_picture_and_all_else_is_whole(door: Any) -> None:
    assert get(door, CT).headers["content-type"] == "image/jpeg"
    assert get(door, DOCUMENT).headers["content-type"].startswith("application/dicom")
    several = get(door, ENHANCED)
    assert several.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert several.content == samples.encode(ENHANCED)
    assert get(door, ENHANCED, frameNumber="2").headers["content-type"] == "image/jpeg"


def test_the_type_is_chosen_by_content_type(door: Any) -> None:
    assert get(door, CT, contentType="application/dicom").content == samples.encode(CT)
    assert get(door, CT, contentType="text/plain,image/png").headers["content-type"] == "image/png"
    assert get(door, DOCUMENT, contentType="application/pdf").content.startswith(b"%PDF")
    assert get(door, CT, contentType="video/mpeg").status_code == 406
    assert get(door, DOCUMENT, contentType="image/jpeg").status_code == 406


def test_an_object_in_another_transfer_syntax(door: Any) -> None:
    answer = get(door, LOSSLESS, contentType="application/dicom", transferSyntax=ExplicitVRLittleEndian)
    assert answer.headers["content-type"].endswith(ExplicitVRLittleEndian)
    given = dcmread(io.BytesIO(answer.content))
    assert given.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert given.PixelData == samples.instance(patient_id="P-2").PixelData
    assert get(door, CT, contentType="application/dicom", transferSyntax="1.2.3").status_code == 406


def test_pictures_are_windowed_cut_and_scaled(door: Any) -> None:
    png = {"contentType": "image/png", "windowCenter": "128", "windowWidth": "256"}
    whole = pixels(get(door, CT, **png))
    assert whole.shape == (8, 8)
    assert pixels(get(door, CT, **png, region="0.5,0,1,0.25")).tolist() == whole[:2, 4:].tolist()
    assert pixels(get(door, CT, **png, columns="16")).shape == (16, 16)
    assert pixels(get(door, CT, **png, rows="4", columns="16")).shape == (4, 4)
    assert len(get(door, CT, imageQuality="1").content) < len(get(door, CT, imageQuality="100").content)


@pytest.mark.parametrize(
    "params",
    [
        {"requestType": "WADI"},
        {"studyUID": ""},
        {"objectUID": ""},
        {"anonymize": "yes"},
        {"presentationUID": "1.2", "presentationSeriesUID": "1.3"},
        {"windowCenter": "1"},
        {"windowCenter": "1", "windowWidth": "x"},
        {"windowCenter": "1", "windowWidth": "-1"},
        {"region": "0,0,1"},
        {"region": "0.5,0,0.5,1"},
        {"region": "0,0,1,2"},
        {"rows": "0"},
        {"imageQuality": "0"},
        {"frameNumber": "x"},
        {"contentType": "application/dicom", "rows": "5"},
    ],
)
def test_what_makes_no_sense_is_400_in_words(door: Any, params: dict[str, str]) -> None:
    answer = get(door, CT, **params)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_what_is_not_there_is_404(door: Any, shared_archive: Any) -> None:
    assert get(door, CT, objectUID="1.2.3").status_code == 404
    assert get(door, CT, seriesUID=str(LOSSLESS.SeriesInstanceUID)).status_code == 404
    assert get(door, CT, frameNumber="2").status_code == 404
    partial = Grant(who="x", may=frozenset({"read"}), series=frozenset({LOSSLESS.SeriesInstanceUID}))
    assert get(shared_archive.client(partial), CT).status_code == 404
    assert get(shared_archive.client(partial), LOSSLESS).status_code == 200


def test_parameters_that_are_not_understood_are_said(door: Any) -> None:
    assert "annotation" in get(door, CT, annotation="patient").headers["warning"]
    assert "warning" not in get(door, CT).headers


def test_the_audit_log_says_what_was_read(
    shared_archive: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture, door: Any
) -> None:
    from starlette.testclient import TestClient

    from kahu.server.guard import Guard

    audited: list[tuple[str, str, str]] = []
    guarded = Guard(
        shared_archive.app(),
        settings=shared_archive.settings,
        check=lambda _secret: Grant(who="x"),
        audit=lambda *what: audited.append(what),
    )
    with caplog.at_level(logging.INFO, "kahu.access"):
        assert get(TestClient(guarded, base_url="http://127.0.0.1:8010"), CT).status_code == 200
    path = f"/studies/{CT.StudyInstanceUID}/series/{CT.SeriesInstanceUID}/instances/{CT.SOPInstanceUID}"
    assert audited == [("owner", "read", f"/dicomweb{path}")]
