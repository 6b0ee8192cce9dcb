"""Fetch: metadata from the catalogue, pixels as byte ranges of the files where they lie, never wrong ones."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread

from kahu import Client
from kahu.testing import samples

Kahu = Callable[..., Any]


@pytest.fixture
def server(kahu_up: Kahu, chest: Path) -> Any:
    server = kahu_up(chest)
    server.series(1)
    return server


def test_metadata_say_what_the_files_say(server: Any, chest: Path) -> None:
    (series,) = server.series(1)
    archive = DICOMwebClient(f"{server.url}/dicomweb")
    metadata = archive.retrieve_series_metadata(series["study_uid"], series["uid"])
    by_uid = {one["00080018"]["Value"][0]: one for one in metadata}
    for path in chest.iterdir():
        ds = dcmread(path)
        told = by_uid.pop(ds.SOPInstanceUID)
        assert told["00200032"]["Value"] == [float(value) for value in ds.ImagePositionPatient]
        assert told["00100010"]["Value"] == [{"Alphabetic": str(ds.PatientName)}]
        assert "Value" not in told["7FE00010"]
    assert not by_uid


def test_frames_are_the_pixels_of_the_files(server: Any, chest: Path) -> None:
    archive = DICOMwebClient(f"{server.url}/dicomweb")
    for path in sorted(chest.iterdir())[:3]:
        ds = dcmread(path)
        uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        (frame,) = archive.retrieve_instance_frames(*uids, frame_numbers=[1])
        assert frame == ds.PixelData


def test_a_volume_is_in_hounsfield_units_and_millimetres(server: Any, chest: Path) -> None:
    (series,) = server.series(1)
    with Client(server.url) as client:
        volume = client.volume(series["uid"])
    assert volume.spacing == pytest.approx((2, 1, 1))
    assert np.array_equal(volume.array, samples.phantom("CT", 12, 128, 128))


def test_bytes_that_changed_are_an_error_and_never_wrong_pixels(server: Any, chest: Path) -> None:
    path = sorted(chest.iterdir())[0]
    ds = dcmread(path)
    path.write_bytes(path.read_bytes()[:-100])
    instance = f"/instances/{ds.SOPInstanceUID}"
    with server.http() as http:
        base = f"/dicomweb/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
        assert http.get(f"{base}{instance}/frames/1").status_code == 503
        server.series(1)  # the others are still there, and the folder is looked through again by itself:
        deadline = time.monotonic() + 60
        while not (refused := http.get("/api/stores").json()[1]["refused"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert refused == 1
