"""DCMTK's and pynetdicom's command lines against the DIMSE port: stored, found, moved, got, as files."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from kahu.testing import samples
from kahu.testing.programs import need_dcmtk

STUDY = samples.uid("study of the DIMSE clients")
THE_STUDY = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
DICOM = {"Content-Type": "application/dicom"}
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1", PYTHONWARNINGS="ignore")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT of 3 and an MR of 2, one of them compressed, as files."""
    folder = tmp_path_factory.mktemp("sent")
    common: Any = {"study_uid": STUDY, "patient_id": "DIMSE-1", "patient_name": "Kahale^Ipo"}
    paths = samples.series(folder, slices=3, description="Chest", **common)
    for number, syntax in ((1, ExplicitVRLittleEndian), (2, JPEGLSLossless)):
        ds = samples.instance(
            modality="MR", number=number, description="Head", transfer_syntax=syntax, **common
        )
        paths.append(samples.save(ds, folder / f"mr-{number}.dcm"))
    return paths


@pytest.fixture(scope="module")
def stored(running: Any, sent: list[Path]) -> Any:
    """The archive that has them."""
    with running.http() as http:
        for path in sent:
            assert http.post("/studies", content=path.read_bytes(), headers=DICOM).status_code == 200
    return running


def the_series(path: Path) -> tuple[str, ...]:
    """Keys that name the series of a file."""
    series = f"SeriesInstanceUID={dcmread(path).SeriesInstanceUID}"
    return ("-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY}", "-k", series)


def dcmtk(*command: object) -> str:
    """Runs one of DCMTK's programs; what it printed."""
    program, *words = (str(word) for word in command)
    return run(need_dcmtk(program), *words)


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def pynetdicom(app: str, *arguments: object) -> str:
    """Runs one of pynetdicom's apps; what it printed."""
    return run(sys.executable, "-m", "pynetdicom", app, *map(str, arguments))


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same data set."""
    return bool(dcmread(one) == dcmread(other))


def assert_all_came(sent: list[Path], folder: Path) -> None:
    came = {dcmread(path).SOPInstanceUID: path for path in folder.iterdir() if path.is_file()}
    assert len(came) == len(sent)
    for path in sent:
        assert same(path, came[dcmread(path).SOPInstanceUID])


# DCMTK


@pytest.mark.usefixtures("dcmtk")
def test_dcmtk_echoes(running: Any) -> None:
    dcmtk("echoscu", "-aec", "KAHU", *running.peer)


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize("program", ["storescu", "dcmsend"])
def test_dcmtk_stores(running: Any, tmp_path: Path, program: str) -> None:
    paths = samples.series(tmp_path, slices=4, patient_id=program)
    dcmtk(program, "-aec", "KAHU", *running.peer, *paths)
    with running.http() as http:
        found = http.get("/instances", params={"PatientID": program}).json()
        assert len(found) == 4
        for path in paths:
            ds = dcmread(path)
            url = (
                f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            )
            kept = http.get(url, headers={"Accept": "application/dicom"}).content
            (tmp_path / "kept").write_bytes(kept)
            assert same(tmp_path / "kept", path)


@pytest.mark.usefixtures("dcmtk")
def test_dcmtk_finds(stored: Any) -> None:
    ask = ("findscu", "-aec", "KAHU", "-v", *stored.peer)
    studies = dcmtk(
        *ask, "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=KAHALE*", "-k", "StudyInstanceUID"
    )
    assert STUDY in studies
    series = dcmtk(
        *ask, "-S", "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY}", "-k", "Modality=MR",
        "-k", "SeriesDescription",
    )  # fmt: skip
    assert "Head" in series
    assert "Chest" not in series
    patients = dcmtk(
        *ask, "-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=DIMSE-1", "-k", "PatientName"
    )
    assert "Kahale^Ipo" in patients


@pytest.mark.usefixtures("dcmtk")
def test_dcmtk_gets(stored: Any, sent: list[Path], tmp_path: Path) -> None:
    dcmtk("getscu", "-S", "-aec", "KAHU", "-od", tmp_path, *THE_STUDY, *stored.peer)
    uncompressed = sent[:4]  # getscu accepts no JPEG-LS: that one comes decompressed
    came = {dcmread(path).SOPInstanceUID: path for path in tmp_path.iterdir()}
    assert len(came) == len(sent)
    for path in uncompressed:
        assert same(path, came[dcmread(path).SOPInstanceUID])
    last = dcmread(sent[4])
    assert (dcmread(came[last.SOPInstanceUID]).pixel_array == last.pixel_array).all()


@pytest.mark.usefixtures("dcmtk")
def test_dcmtk_moves(stored: Any, sent: list[Path], tmp_path: Path, kahu_peer: Any) -> None:
    with kahu_peer(stored, "MOVER") as port:
        dcmtk(
            "movescu", "-S", "-aet", "MOVER", "-aem", "MOVER", "-aec", "KAHU", "+P", port, "-od", tmp_path,
            *the_series(sent[0]), *stored.peer,
        )  # fmt: skip
    assert_all_came(sent[:3], tmp_path)


# pynetdicom


def test_pynetdicom_echoes_and_stores(running: Any, tmp_path: Path) -> None:
    pynetdicom("echoscu", *running.peer, "-aec", "KAHU")
    paths = samples.series(tmp_path, slices=3, patient_id="pynetdicom")
    pynetdicom("storescu", *running.peer, tmp_path, "-aec", "KAHU", "-cx")
    with running.http() as http:
        assert len(http.get("/instances", params={"PatientID": "pynetdicom"}).json()) == len(paths)


def test_pynetdicom_finds_and_gets(stored: Any, sent: list[Path], tmp_path: Path) -> None:
    keys = the_series(sent[0])
    assert "Chest" in pynetdicom(
        "findscu", *stored.peer, "-aec", "KAHU", "-S", *keys, "-k", "SeriesDescription="
    )
    pynetdicom("getscu", *stored.peer, "-aec", "KAHU", "-S", *keys, "-od", tmp_path)
    assert_all_came(sent[:3], tmp_path)


def test_pynetdicom_moves_to_itself(stored: Any, sent: list[Path], tmp_path: Path, kahu_peer: Any) -> None:
    with kahu_peer(stored, "STORESCP") as port:
        pynetdicom(
            "movescu", *stored.peer, "-aec", "KAHU", "-aem", "STORESCP", "-S", *THE_STUDY,
            "--store", "--store-port", port, "--store-aet", "STORESCP", "-od", tmp_path,
        )  # fmt: skip
    assert_all_came(sent, tmp_path)


@pytest.fixture
def kahu_peer(free_port: Any) -> Any:
    """Makes a peer known to an archive for a while: a context that gives the port on which it must listen."""

    @contextmanager
    def known(archive: Any, aet: str) -> Iterator[int]:
        port = free_port()
        archive.kahu("peer", "add", aet.lower(), aet, "127.0.0.1", port)
        try:
            yield port
        finally:
            archive.kahu("peer", "remove", aet.lower())

    return known
