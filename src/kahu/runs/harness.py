"""What runs in a job before and after the tool: `python -m kahu.runs.harness fetch|deliver JOB`.

A DICOMweb client like any other. It is told where Kahu is and what the case is by the environment
(`KAHU_URL`, `KAHU_TOKEN`, `KAHU_CASE`), which the tool never sees. `fetch` brings the series to `JOB/in`;
`deliver` sends what the tool left in `JOB/out`. An error is told in two lines, `error:` and `hint:`.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx2 as httpx
import msgspec
import pydicom
from pydicom.errors import InvalidDicomError

from kahu.client import Client
from kahu.dicom import volume
from kahu.errors import BadRequest, KahuError, NotFound
from kahu.tools.manifest import Output


@dataclass(frozen=True)
class CaseDocument:
    """What the two steps are told of the case and the tool; `KAHU_CASE` in JSON."""

    study: str
    series: str
    instances: int
    """how many the series had when the run was asked for"""
    form: str
    """nifti | dicom"""
    title: str
    """the tool's"""
    version: str
    digest: str
    output: Output

    def json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str) -> "CaseDocument":
        return msgspec.json.decode(text, type=cls)


def fetch(client: Client, case: CaseDocument, job: Path) -> None:
    """Brings the series: `in/dicom/*.dcm`, and for the form nifti `in/image.nii.gz`."""
    folder = job / "in" / "dicom"
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, data in enumerate(client.objects(case.study, case.series), 1):
        (folder / f"{count:06}.dcm").write_bytes(data)
        _progress(count, max(case.instances, count))
    if count < case.instances:
        raise NotFound(
            f"only {count} of the {case.instances} objects of the series are there",
            "look at its store; when it is complete again, run the case again",
        )
    if case.form == "nifti":
        image = volume.volume_of(given(job, pixels=True))
        for finding in image.findings:
            print(finding)
        volume.to_nifti(image, job / "in" / "image.nii.gz")


def deliver(client: Client, case: CaseDocument, job: Path) -> None:
    """Sends the result: a DICOM SEG made of the tool's label map, or the DICOM files that the tool wrote."""
    if case.output.kind == "segmentation":
        objects: Iterable[bytes] = [segmentation(case, job)]
        total = 1
    else:
        files = dicom_files(job)
        objects, total = (file.read_bytes() for file in files), len(files)
    for count, data in enumerate(objects, 1):
        client.store(data)
        _progress(count, total)


def segmentation(case: CaseDocument, job: Path) -> bytes:
    """The DICOM SEG that the tool's label map says. BadRequest, Conflict: it wrote none, or one that does not
    fit."""
    # highdicom takes a second to load, and only this needs it
    from kahu.dicom.segmentation import AlgorithmFacts, Code, Segment, build

    grid = volume.grid_of(given(job))
    labels = volume.label_map_onto(job / "out" / case.output.file, grid)
    algorithm = case.output.algorithm
    dataset = build(
        grid,
        labels,
        [
            Segment(one.value, one.label, Code(*one.category), Code(*one.type), one.color)
            for one in case.output.segments
        ],
        series_description=case.output.title,
        algorithm=AlgorithmFacts(
            algorithm.name or case.title,
            algorithm.version or case.version,
            serial=case.digest,
            family=Code(*algorithm.family),
        ),
    )
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def dicom_files(job: Path) -> list[Path]:
    """What the tool wrote as DICOM; a link out of its folder is not followed. BadRequest: nothing."""
    out = job / "out"
    files = sorted(path for path in out.rglob("*.dcm") if path.is_file() and not path.is_symlink())
    if not files:
        raise BadRequest(
            "the tool wrote no DICOM: there is no .dcm file in its output folder", "look into its log"
        )
    for file in files:
        try:
            pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
        except InvalidDicomError as error:
            name = file.relative_to(out)
            raise BadRequest(f"the tool wrote {name}, which is no DICOM file", "mend the tool") from error
    return files


def given(job: Path, *, pixels: bool = False) -> list[pydicom.Dataset]:
    """The objects of the case, as they were fetched."""
    files = sorted((job / "in" / "dicom").iterdir())
    return [pydicom.dcmread(path, stop_before_pixels=not pixels) for path in files]


def _progress(count: int, total: int) -> None:
    """Tells how far it is, some ten times in all."""
    if count == total or count % max(total // 10, 1) == 0:
        print(f"progress {count / total:.3f} {count} of {total} objects", flush=True)


STEPS = {"fetch": fetch, "deliver": deliver}


def main(step: str, job: str) -> int:
    """Does one step; returns the exit code."""
    case = CaseDocument.parse(os.environ["KAHU_CASE"])
    try:
        with Client(os.environ["KAHU_URL"], os.environ["KAHU_TOKEN"]) as client:
            STEPS[step](client, case, Path(job))
    except KahuError as error:
        return _fail(str(error), error.hint)
    except httpx.TransportError as error:
        return _fail(f"Kahu stopped answering ({type(error).__name__})", "run the case again")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", "look at the job's folder, and at its disk")
    return 0


def _fail(message: str, hint: str) -> int:
    print(f"error: {' '.join(message.split())}\nhint: {' '.join(hint.split())}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
