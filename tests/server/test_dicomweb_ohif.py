"""What OHIF 3.13 sends, in its order, with its headers, answered with the real files that pydicom brings."""

import io
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from kahu.dicom.header import read_header
from kahu.dicom.multipart import Outgoing, media_type, read_parts, write
from kahu.dicom.text import quietly
from kahu.errors import NotDicom
from kahu.testing import samples

FILES = sorted(Path(pydicom.data.__file__).with_name("test_files").glob("*.dcm"))

JSON = {"Accept": "application/dicom+json", "Accept-Encoding": "gzip, deflate, br"}
FRAME = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
WHOLE = {"Accept": 'multipart/related; type="application/dicom"'}
PICTURE = {"Accept": 'multipart/related; type="application/octet-stream"'}

LIST = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
FRAME_TYPES = {"application/octet-stream", "image/jpeg", "image/jls", "image/jp2", "image/dicom-rle"}


@pytest.fixture(scope="module")
def objects() -> dict[str, list[bytes]]:
    """The files by SOP Instance UID: several of pydicom's are one object in many transfer syntaxes."""
    found = defaultdict(list)
    for file in FILES:
        data = file.read_bytes()
        try:
            header = read_header(lambda at, length, data=data: data[at : at + length], len(data))  # type: ignore[misc]
        except NotDicom:
            continue
        found[header.sop_instance_uid].append(data)
    return found


@pytest.fixture(scope="module")
def client(shared_archive: Any) -> Any:
    for file in FILES:
        shutil.copy(file, shared_archive.folder)
    shared_archive.scan()
    return shared_archive.client()


def value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]


def ok(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer


def test_every_study_of_the_list_is_opened(client: Any, objects: dict[str, list[bytes]]) -> None:
    seen = set()
    for study in ok(client.get(f"/dicomweb/studies?{LIST}", headers=JSON)).json():
        uid = value(study, "0020000D")
        (again,) = ok(client.get(f"/dicomweb/studies?{LIST}&StudyInstanceUID={uid}", headers=JSON)).json()
        assert again == study
        fields = "includefield=00080021%2C00080031%2C0008103E%2C00200011"
        all_series = ok(client.get(f"/dicomweb/studies/{uid}/series?{fields}", headers=JSON)).json()
        assert len(all_series) == value(study, "00201206")
        if study["00100020"].get("Value"):
            patient = value(study, "00100020")
            priors = ok(client.get("/dicomweb/studies", params={"00100020": patient}, headers=JSON)).json()
            assert study in priors
        for series in all_series:
            base = f"/dicomweb/studies/{uid}/series/{value(series, '0020000E')}"
            instances = ok(client.get(f"{base}/metadata", headers=JSON)).json()
            assert len(instances) == value(series, "00201209")
            for instance in instances:
                sop = value(instance, "00080018")
                seen.add(sop)
                open_instance(client, f"{base}/instances/{sop}", instance, objects[sop])
    assert seen == set(objects)


def open_instance(client: Any, path: str, instance: dict[str, Any], files: list[bytes]) -> None:
    answer = ok(client.get(path, headers=WHOLE))
    (whole,) = read_parts([answer.content], answer.headers["content-type"])
    assert whole.body in files
    pixels = next((instance[tag] for tag in ("7FE00010", "7FE00008") if tag in instance), None)
    if pixels is None:
        assert client.get(f"{path}/frames/1", headers=FRAME).status_code == 404
    else:
        answer = client.get(f"{path}/frames/1", headers=FRAME)
        if answer.status_code != 200:
            assert not pydicom_has_pixels(whole.body), answer.text
        else:
            (frame,) = read_parts([answer.content], answer.headers["content-type"])
            media_type, _, syntax = frame.content_type.partition("; transfer-syntax=")
            assert media_type in FRAME_TYPES
            assert answer.headers["content-type"].startswith(f'multipart/related; type="{media_type}"')
            assert syntax.startswith("1.2.840.10008.1.2")
            assert frame.body
    for picture in ("thumbnail", "rendered"):
        answer = client.get(f"{path}/{picture}?accept=image%2Fjpeg", headers=PICTURE)
        assert answer.status_code in ({200} if picture == "thumbnail" else {200, 404, 406})
        if answer.status_code == 200:
            assert Image.open(io.BytesIO(answer.content)).format == "JPEG"


def pydicom_has_pixels(file: bytes) -> bool:
    with quietly():
        try:
            return bool(dcmread(io.BytesIO(file), force=True).pixel_array.size)
        except (AttributeError, ValueError, RuntimeError, InvalidDicomError, TypeError):
            return False


def test_an_upload_is_one_request_a_file(client: Any) -> None:
    ds = samples.instance()
    message = b"".join(write([Outgoing("application/dicom", lambda: [samples.encode(ds)])], "b"))
    content_type = media_type("application/dicom", '"b"')
    ok(
        client.post(
            "/dicomweb/studies", content=message, headers={"Content-Type": content_type, "Accept": "*/*"}
        )
    )
    ok(client.get(f"/dicomweb/studies/{ds.StudyInstanceUID}/series", headers=JSON))
