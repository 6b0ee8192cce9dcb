"""Orthanc as the PACS on the other side: Kahu sends to it, queries it, retrieves from it; and it from Kahu."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from kahu.testing import samples

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def orthanc(tmp_path: Path, running: Any, free_port: Any) -> Iterator[httpx2.Client]:
    """An Orthanc that knows the archive as the modality "kahu", and is known there as the peer "orthanc"."""
    if ORTHANC is None:
        pytest.skip("no Orthanc: sudo apt install orthanc")
    port, dimse_port = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(tmp_path / "orthanc"),
        "HttpPort": port,
        "DicomPort": dimse_port,
        "DicomAet": "ORTHANC",
        "AuthenticationEnabled": False,
        "DicomModalities": {"kahu": ["KAHU", "127.0.0.1", running.dimse_port]},
        "Plugins": [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    with (tmp_path / "orthanc.txt").open("wb") as output:
        process = subprocess.Popen([ORTHANC, str(tmp_path / "orthanc.json")], stdout=output, stderr=output)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            wait_for(client)
            running.kahu("peer", "add", "orthanc", "ORTHANC", "127.0.0.1", dimse_port)
            yield client
            running.kahu("peer", "remove", "orthanc")
    finally:
        process.kill()
        process.wait()


def wait_for(client: httpx2.Client) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get("/system").raise_for_status()
            return
        except httpx2.TransportError:
            assert time.monotonic() < deadline, "Orthanc did not start"
            time.sleep(0.1)


def test_objects_go_to_a_pacs_and_come_back(running: Any, orthanc: httpx2.Client, tmp_path: Path) -> None:
    paths = samples.series(tmp_path / "sent", slices=3, patient_id="PACS-1")
    compressed = samples.instance(
        patient_id="PACS-1", description="Compressed", transfer_syntax=JPEGLSLossless
    )
    paths.append(samples.save(compressed, tmp_path / "sent" / "compressed.dcm"))
    sent = [dcmread(path) for path in paths]
    study = str(sent[0].StudyInstanceUID)
    with running.http() as http:
        for path in paths:
            http.post("/studies", content=path.read_bytes(), headers={"Content-Type": "application/dicom"})
        assert "answers" in running.kahu("peer", "echo", "orthanc")
        running.kahu("send", "orthanc", *{ds.SeriesInstanceUID for ds in sent})
        assert orthanc.get("/statistics").json()["CountInstances"] == len(sent)
        (found,) = json.loads(running.kahu("query", "orthanc", "PatientID=PACS-1", "--json"))
        assert found["StudyInstanceUID"] == study
        assert http.delete(f"/studies/{study}").status_code in (200, 204)
        running.kahu("retrieve", "orthanc", study)
        for ds in sent:
            url = f"/studies/{study}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            answer = http.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
            (tmp_path / "back.dcm").write_bytes(answer.content)
            assert dcmread(tmp_path / "back.dcm") == ds


def test_a_pacs_queries_and_retrieves(running: Any, orthanc: httpx2.Client) -> None:
    ds = samples.instance(patient_id="PACS-2")
    with running.http() as http:
        http.post("/studies", content=samples.encode(ds), headers={"Content-Type": "application/dicom"})
    assert orthanc.post("/modalities/kahu/echo", content=b"{}").status_code == 200
    asked = orthanc.post(
        "/modalities/kahu/query", json={"Level": "Study", "Query": {"PatientID": "PACS-2"}}
    ).json()
    answers = orthanc.get(f"{asked['Path']}/answers").json()
    assert len(answers) == 1
    retrieved = orthanc.post(f"{asked['Path']}/retrieve", json={"TargetAet": "ORTHANC", "Synchronous": True})
    assert retrieved.status_code == 200
    assert orthanc.get("/statistics").json()["CountInstances"] == 1
