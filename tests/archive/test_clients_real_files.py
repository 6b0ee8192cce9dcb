"""Real files of many makers, some of them odd, in by each door and out by each resource.

What is taken is given back byte for byte; what is refused is refused in words. Nothing is a fault of the server.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config

from kahu.dicom.header import read_header

DICOM = "application/dicom"
AS_KEPT = f"{DICOM}; transfer-syntax=*"
OTHER_OBJECT = 0xA900
"""the data set is not of the SOP class or instance that was announced (PS3.4 table B.2-1)"""
RESOURCES = (
    ("/metadata", "application/dicom+json"),
    ("/rendered", "image/jpeg"),
    ("/rendered", "image/png"),
    ("/frames/1", 'multipart/related; type="application/octet-stream"; transfer-syntax=*'),
    ("/frames/1", 'multipart/related; type="application/octet-stream"'),
    ("/thumbnail", "*/*"),
)


def test_what_is_stored_over_the_web_is_given_back(running: Any, real_files: Any) -> None:
    faults = []
    with running.http() as http:
        for file in real_files:
            sent = file.path.read_bytes()
            answer = http.post("/studies", content=sent, headers={"Content-Type": DICOM})
            if answer.status_code != 200:
                faults.append(f"{file.path.name} was not stored: {answer.status_code} {answer.text[:300]}")
                continue
            kept = http.get(file.url, headers={"Accept": AS_KEPT})
            if kept.content != sent:
                faults.append(f"{file.path.name} is given back otherwise: {kept.status_code}")
            faults += asked_for_all(http, file)
            gone = http.delete(file.url)
            if gone.status_code not in (200, 204):
                faults.append(f"{file.path.name} cannot be deleted: {gone.status_code} {gone.text[:300]}")
    assert not faults, "\n".join(faults)


def asked_for_all(http: Any, file: Any) -> Iterator[str]:
    """What is wrong with the answers to every resource of an instance."""
    for path, accept in RESOURCES:
        answer = http.get(file.url + path, headers={"Accept": accept})
        asked = f"{file.path.name}{path} as {accept}"
        if answer.status_code >= 500:
            yield f"{asked}: {answer.status_code} {answer.text[:300]}"
        elif answer.status_code >= 400 and not answer.json()["error"]:
            yield f"{asked}: {answer.status_code} without words"
        elif answer.status_code == 200 and not answer.content:
            yield f"{asked}: empty"


def test_what_is_stored_by_dimse_is_given_back(
    running: Any, real_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the file's own bytes, not re-encoded
    sendable = [file for file in real_files if file.is_part10]  # this client reads nothing else
    faults = []
    ae = AE("STRANGER")
    for kind in {(file.header.sop_class_uid, file.header.transfer_syntax_uid) for file in sendable}:
        ae.add_requested_context(*kind)
    association = ae.associate("127.0.0.1", running.dimse_port, ae_title="KAHU")
    assert association.is_established
    with running.http() as http:
        for file in sendable:
            status = association.send_c_store(file.path).get("Status")
            if status != (0 if announced(file) else OTHER_OBJECT):
                faults.append(f"{file.path.name}: {status}")
            if status != 0:
                continue
            kept = http.get(file.url, headers={"Accept": AS_KEPT})
            if kept.status_code != 200 or dataset_of(kept.content) != dataset_of(file.path.read_bytes()):
                faults.append(f"{file.path.name} is given back otherwise: {kept.status_code}")
            http.delete(file.url)
    association.release()
    assert not faults, "\n".join(faults)


def announced(file: Any) -> bool:
    """Whether this client announces the object by its own UIDs: it takes those of the file meta information."""
    meta = read_file_meta_info(file.path)
    said = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
    return said == (file.header.sop_class_uid, file.header.sop_instance_uid)


def dataset_of(data: bytes) -> bytes:
    header = read_header(lambda offset, length: data[offset : offset + length], len(data))
    return data[header.dataset_offset :]
