"""Arrive: what is sent becomes one object, whole and unaltered; what contradicts it is kept aside."""

import signal
from collections.abc import Callable
from io import BytesIO
from typing import Any

from dicomweb_client import DICOMwebClient
from pydicom import dcmread

from kahu.testing import samples

Kahu = Callable[..., Any]
DICOM = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}


def test_what_was_sent_comes_back_unaltered(kahu_up: Kahu) -> None:
    server = kahu_up()
    made = [samples.instance(number=n, attributes={"PatientComments": "as it was"}) for n in (1, 2, 3)]
    sent = [dcmread(BytesIO(samples.encode(one))) for one in made]
    archive = DICOMwebClient(f"{server.url}/dicomweb")
    archive.store_instances(sent)
    (series,) = server.series(1)
    assert series["instances"] == 3
    back = archive.retrieve_series(series["study_uid"], series["uid"])
    assert sorted(back, key=lambda ds: int(ds.InstanceNumber)) == sent


def test_what_was_acknowledged_outlives_a_kill(kahu_up: Kahu) -> None:
    first = kahu_up()
    with first.http() as http:
        for number in range(1, 6):
            file = samples.encode(samples.instance(number=number))
            assert http.post("/dicomweb/studies", content=file, headers=DICOM).status_code == 200
    first.stop(signal.SIGKILL)
    again = kahu_up(home=first.home)
    (series,) = again.series(1)
    assert series["instances"] == 5
    archive = DICOMwebClient(f"{again.url}/dicomweb")
    assert len(archive.retrieve_series(series["study_uid"], series["uid"])) == 5


def test_the_same_object_twice_is_one_object(kahu_up: Kahu) -> None:
    server = kahu_up()
    file = samples.encode(samples.instance())
    with server.http() as http:
        assert [http.post("/dicomweb/studies", content=file, headers=DICOM).status_code for _ in "12"] == [
            200,
            200,
        ]
    assert server.series(1)[0]["instances"] == 1


def test_another_object_under_a_uid_that_is_taken_is_refused_and_kept_aside(
    kahu_up: Kahu, kahu: Kahu
) -> None:
    server = kahu_up()
    first = samples.instance()
    other = samples.instance(attributes={"PatientComments": "another"})
    with server.http() as http:
        http.post("/dicomweb/studies", content=samples.encode(first), headers=DICOM)
        answer = http.post("/dicomweb/studies", content=samples.encode(other), headers=DICOM)
        assert answer.status_code == 409
        (failed,) = answer.json()["00081198"]["Value"]
        assert failed["00081197"]["Value"] == [0x0111]
        uid = first.SOPInstanceUID
        path = f"/dicomweb/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}/instances/{uid}"
        part = http.get(path, headers={"Accept": "application/dicom"}).content
    assert "PatientComments" not in dcmread(BytesIO(part))
    assert uid in kahu("conflicts").stdout


def test_what_is_no_dicom_is_refused_in_words(kahu_up: Kahu) -> None:
    server = kahu_up()
    with server.http() as http:
        answer = http.post("/dicomweb/studies", content=b"no image at all", headers=DICOM)
    assert answer.status_code in (400, 409)
    server.series(0)
