"""What runs around a tool: it brings the series and takes the result, and says clearly what is wrong."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from kahu.runs import harness
from kahu.runs.harness import CaseDocument
from kahu.testing import samples
from kahu.tools.manifest import Code, Output, Segment

TOKEN = "kahu_test"


@dataclass
class Archive:
    """As much of a DICOMweb server as the harness speaks to."""

    files: list[Path]
    refuse: tuple[int, str, str] | None = None
    stored: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    archive = Archive(samples.series(tmp_path / "source", modality="CT", slices=6))

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            archive.asked.append(self.path)
            if self.refused():
                return
            self.send_response(200)
            self.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=b')
            self.end_headers()
            for file in archive.files:
                self.wfile.write(
                    b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n"
                )
            self.wfile.write(b"--b--")

        def do_POST(self) -> None:
            archive.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.refused():
                archive.stored.append(body)
                self.send_response(200)
                self.end_headers()

        def refused(self) -> bool:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.send_error(401)
                return True
            if archive.refuse is None:
                return False
            status, error, hint = archive.refuse
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"error": error, "hint": hint}).encode())
            return True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        archive.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield archive
        server.shutdown()
        thread.join()


SEGMENTATION = Output(
    kind="segmentation",
    title="Lung mask",
    file="lung.nii.gz",
    segments=(
        Segment(1, "Lung", Code("123037004", "SCT", "Anatomical Structure"), Code("39607008", "SCT", "Lung")),
    ),
)


@pytest.fixture
def case(archive: Archive) -> CaseDocument:
    first = pydicom.dcmread(archive.files[0])
    return CaseDocument(
        study=str(first.StudyInstanceUID),
        series=str(first.SeriesInstanceUID),
        instances=6,
        form="nifti",
        title="Lung mask",
        version="1.2",
        digest="d1",
        output=SEGMENTATION,
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for name in ("in", "out"):
        (tmp_path / "job" / name).mkdir(parents=True)
    return tmp_path / "job"


class Step:
    """Does a step as its program does, and keeps what it printed."""

    def __init__(
        self, archive: Archive, job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._archive, self._job, self._env, self._capsys = archive, job, monkeypatch, capsys

    def __call__(self, name: str, case: CaseDocument, *, url: str = "") -> tuple[int, str]:
        self._env.setenv("KAHU_URL", url or self._archive.url)
        self._env.setenv("KAHU_TOKEN", TOKEN)
        self._env.setenv("KAHU_CASE", case.json())
        code = harness.main(name, str(self._job))
        return code, self._capsys.readouterr().out


@pytest.fixture
def step(
    archive: Archive, job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Step:
    return Step(archive, job, monkeypatch, capsys)


def label_map(job: Path, change: float = 0.0) -> None:
    """Writes what a tool writes: half of the image, on its grid, or moved by some millimetres."""
    image = nibabel.load(job / "in" / "image.nii.gz")
    labels = np.zeros(image.shape, np.uint8)
    labels[:32] = 1
    affine = image.affine.copy()
    affine[0, 3] += change
    nibabel.save(nibabel.Nifti1Image(labels, affine), job / "out" / "lung.nii.gz")


def test_the_case_document_survives_its_journey(case: CaseDocument) -> None:
    assert CaseDocument.parse(case.json()) == case


def test_fetch_brings_the_series_as_files_and_as_one_volume(
    step: Step, case: CaseDocument, archive: Archive, job: Path
) -> None:
    code, said = step("fetch", case)
    assert code == 0, said
    assert archive.asked == [f"/dicomweb/studies/{case.study}/series/{case.series}"]
    fetched = sorted((job / "in" / "dicom").iterdir())
    assert [file.read_bytes() for file in fetched] == [file.read_bytes() for file in archive.files]
    image = nibabel.load(job / "in" / "image.nii.gz")
    assert image.shape == (64, 64, 6)
    assert np.asanyarray(image.dataobj).min() == -1000, "Hounsfield units"
    assert "progress 1.000 6 of 6 objects" in said


def test_fetch_for_the_form_dicom_makes_no_volume(step: Step, case: CaseDocument, job: Path) -> None:
    assert step("fetch", replace(case, form="dicom"))[0] == 0
    assert [path.name for path in (job / "in").iterdir()] == ["dicom"]


def test_deliver_makes_a_segmentation_that_says_what_made_it(
    step: Step, case: CaseDocument, archive: Archive, job: Path
) -> None:
    step("fetch", case)
    label_map(job)
    code, said = step("deliver", case)
    assert code == 0, said
    (stored,) = archive.stored
    seg = pydicom.dcmread(BytesIO(stored))
    first = pydicom.dcmread(archive.files[0])
    assert (seg.Modality, seg.SeriesDescription, seg.PatientID) == ("SEG", "Lung mask", first.PatientID)
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Lung mask", "1.2")
    assert seg.DeviceSerialNumber == "d1"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == case.series


def test_deliver_sends_dicom_as_the_tool_wrote_it(
    step: Step, case: CaseDocument, archive: Archive, job: Path
) -> None:
    case = replace(case, output=Output(kind="dicom"))
    (job / "out" / "deep").mkdir()
    (job / "out" / "deep" / "b.dcm").write_bytes(archive.files[1].read_bytes())
    (job / "out" / "a.dcm").write_bytes(archive.files[0].read_bytes())
    (job / "out" / "notes.txt").write_text("not sent")
    (job / "out" / "link.dcm").symlink_to(archive.files[2])
    assert step("deliver", case)[0] == 0
    assert archive.stored == [file.read_bytes() for file in archive.files[:2]]


def test_a_series_that_lost_objects_is_not_fetched_in_part(step: Step, case: CaseDocument) -> None:
    code, said = step("fetch", replace(case, instances=7))
    assert code == 1
    assert "error: only 6 of the 7 objects of the series are there\nhint: " in said


def test_what_the_server_says_is_told(step: Step, case: CaseDocument, archive: Archive) -> None:
    archive.refuse = (503, "the store my-disk is gone", "plug it in")
    code, said = step("fetch", case)
    assert (code, said) == (1, "error: the store my-disk is gone\nhint: plug it in\n")


def test_a_server_that_is_gone_is_told(step: Step, case: CaseDocument) -> None:
    code, said = step("fetch", case, url="http://127.0.0.1:9")
    assert code == 1
    assert said.startswith("error: ")
    assert "hint: " in said


def test_a_series_that_is_no_volume_says_why(step: Step, case: CaseDocument, archive: Archive) -> None:
    for file in archive.files[:3]:
        dataset = pydicom.dcmread(file)
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.save_as(file)
    code, said = step("fetch", case)
    assert code == 1
    assert "error: the series mixes images" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "error: the tool wrote no lung.nii.gz"),
        (b"", "error: lung.nii.gz is no readable NIfTI file"),
        (b"garbage" * 100, "error: lung.nii.gz is no readable NIfTI file"),
    ],
)
def test_no_result_or_garbage(
    step: Step, case: CaseDocument, job: Path, archive: Archive, content: bytes | None, message: str
) -> None:
    step("fetch", case)
    if content is not None:
        (job / "out" / "lung.nii.gz").write_bytes(content)
    code, said = step("deliver", case)
    assert code == 1
    assert message in said
    assert "hint: " in said
    assert archive.stored == []


def test_a_label_map_on_another_grid(step: Step, case: CaseDocument, job: Path, archive: Archive) -> None:
    step("fetch", case)
    label_map(job, change=5.0)
    code, said = step("deliver", case)
    assert code == 1
    assert "error: lung.nii.gz" in said
    assert archive.stored == []


def test_a_value_that_no_segment_describes(step: Step, case: CaseDocument, job: Path) -> None:
    step("fetch", case)
    label_map(job)
    image = nibabel.load(job / "out" / "lung.nii.gz")
    labels = np.asanyarray(image.dataobj) * 7
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), job / "out" / "lung.nii.gz")
    code, said = step("deliver", case)
    assert code == 1
    assert "error: the label map holds values that no segment describes: 7" in said


def test_a_tool_for_dicom_that_wrote_none(step: Step, case: CaseDocument, job: Path) -> None:
    case = replace(case, output=Output(kind="dicom"))
    (job / "out" / "result.nii.gz").write_bytes(b"x")
    code, said = step("deliver", case)
    assert code == 1
    assert "error: the tool wrote no DICOM" in said
    (job / "out" / "result.dcm").write_bytes(b"x" * 1000)
    code, said = step("deliver", case)
    assert code == 1
    assert "error: the tool wrote result.dcm, which is no DICOM file" in said
