"""Clients of DICOMweb that nobody here wrote: dicomweb-client on real files, curl, and what 3D Slicer asks."""

import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom import Dataset, dcmread

from kahu.testing import samples

PEOPLE = {"patient_id": "WEB-1", "patient_name": "Müller^Änne^^Dr."}


@pytest.fixture(scope="module")
def ct(running: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT of 4 slices that the archive has."""
    paths = samples.series(tmp_path_factory.mktemp("ct"), slices=4, **PEOPLE)  # type: ignore[arg-type]
    with running.http() as http:
        for path in paths:
            answer = http.post(
                "/studies", content=path.read_bytes(), headers={"Content-Type": "application/dicom"}
            )
            assert answer.status_code == 200
    return paths


def uids(ds: Dataset) -> tuple[str, str, str]:
    return str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)


# dicomweb-client


def test_dicomweb_client_from_the_first_search_to_the_last_pixel(running: Any, ct: list[Path]) -> None:
    client = DICOMwebClient(running.dicomweb)
    (found,) = client.search_for_studies(
        search_filters={"PatientName": "müller*", "ModalitiesInStudy": "CT"},
        fields=["PatientName"],
        fuzzymatching=True,
    )
    study = found["0020000D"]["Value"][0]
    assert found["00100010"]["Value"] == [{"Alphabetic": PEOPLE["patient_name"]}]
    (series,) = client.search_for_series(study, search_filters={"Modality": "CT"})
    in_series = study, series["0020000E"]["Value"][0]
    instances = client.search_for_instances(*in_series)
    assert len(instances) == len(ct)
    assert len(client.retrieve_series_metadata(*in_series)) == len(ct)
    first = dcmread(ct[0])
    assert client.retrieve_instance(*uids(first)) == first
    frame = np.frombuffer(client.retrieve_instance_frames(*uids(first), [1])[0], "<u2")
    assert (frame.reshape(first.Rows, first.Columns) == first.pixel_array).all()
    picture = client.retrieve_instance_rendered(
        *uids(first), media_types=("image/jpeg",), params={"window": "40,400,linear"}
    )
    assert picture.startswith(b"\xff\xd8")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # real files have them
def test_dicomweb_client_stores_real_files_and_gets_them_back(running: Any, real_files: Any) -> None:
    client = DICOMwebClient(running.dicomweb)
    names = (
        "CT_small.dcm",
        "MR_small.dcm",
        "rtplan.dcm",
        "rtdose.dcm",
        "waveform_ecg.dcm",
        "examples_ybr_color.dcm",
    )
    chosen = [file for file in real_files if file.path.name in names]
    assert len(chosen) >= 5
    datasets = [dcmread(file.path) for file in chosen]
    answer = client.store_instances(datasets)
    assert "FailedSOPSequence" not in answer
    for ds in datasets:
        back = client.retrieve_instance(*uids(ds), media_types=(("application/dicom", "*"),))
        assert back == ds
        metadata = client.retrieve_instance_metadata(*uids(ds))
        assert Dataset.from_json(metadata, lambda *_: b"").SOPInstanceUID == ds.SOPInstanceUID


# curl


def curl(*arguments: object) -> bytes:
    if not shutil.which("curl"):
        pytest.skip("no curl: sudo apt install curl")
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "30", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_curl_stores_and_fetches(running: Any, tmp_path: Path) -> None:
    path = samples.save(samples.instance(patient_id="CURL-1"), tmp_path / "sent.dcm")
    answer = curl(
        "--data-binary", f"@{path}", "-H", "Content-Type: application/dicom", f"{running.dicomweb}/studies"
    )
    (stored,) = json.loads(answer)["00081199"]["Value"]
    url = stored["00081190"]["Value"][0]
    assert curl("-H", "Accept: application/dicom", url) == path.read_bytes()
    assert curl("--range", "128-131", "-H", "Accept: application/dicom", url) == b"DICM"
    assert curl("--head", url).startswith(b"HTTP/1.1 200")
    (found,) = json.loads(curl(f"{running.dicomweb}/studies?PatientID=CURL-1&includefield=all"))
    assert found["00100020"]["Value"] == ["CURL-1"]
    assert json.loads(curl("--compressed", f"{url}/metadata"))[0]["00080018"]["Value"] == [
        dcmread(path).SOPInstanceUID
    ]


# 3D Slicer: the requests of its DICOMweb import and of its DICOMSender, in their order


@pytest.mark.parametrize("bulk_retrieve", [False, True])
def test_slicer_opens_a_study(running: Any, ct: list[Path], bulk_retrieve: bool) -> None:
    client = DICOMwebClient(running.dicomweb)
    study = str(dcmread(ct[0]).StudyInstanceUID)
    came = []
    for series in client.search_for_series(study):
        series_uid = series["0020000E"]["Value"][0]
        metadata = client.retrieve_series_metadata(study, series_uid)
        if bulk_retrieve:
            came += client.retrieve_series(study, series_uid)
            continue
        for instance in metadata:
            came.append(client.retrieve_instance(study, series_uid, instance["00080018"]["Value"][0]))
    assert came == [dcmread(path) for path in ct]


def test_slicer_sends_with_a_token_as_password(running: Any) -> None:
    token = running.kahu("token", "add", "slicer", "--may", "read", "--may", "write").split()
    secret = max(token, key=len)
    session = create_session_from_user_pass("slicer", secret)
    client = DICOMwebClient(running.dicomweb, session=session)
    ds = samples.instance(patient_id="SLICER-1")
    ds.preamble = bytes(128)
    client.store_instances([ds])
    assert client.retrieve_instance(*uids(ds)) == ds
    wrong = DICOMwebClient(running.dicomweb, session=create_session_from_user_pass("slicer", "not-a-token"))
    with pytest.raises(Exception, match="401"):
        wrong.search_for_studies()


def test_what_all_of_them_stored_is_one_archive(running: Any, ct: list[Path]) -> None:
    with running.http() as http:
        whole = http.get("/instances", params={"PatientID": PEOPLE["patient_id"]}).json()
        assert {one["00080018"]["Value"][0] for one in whole} == {dcmread(path).SOPInstanceUID for path in ct}
        first = dcmread(ct[0])
        study, series, instance = uids(first)
        uri = {"requestType": "WADO", "studyUID": study, "seriesUID": series, "objectUID": instance}
        answer = http.get("/wado", params=uri | {"contentType": "application/dicom"})
        assert dcmread(BytesIO(answer.content)) == first
