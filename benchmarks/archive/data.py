"""What is stored: CT of 530 KB in series of 200, and tiny objects of many patients.

The tiny ones are what makes a catalogue large: patients with two studies each, studies with two series, one
object in each. Names, dates and modalities repeat as they do in a hospital. All is invented, and the same on
every run.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index import make as make_ct
from kahu.dicom.header import Header, read_header
from kahu.testing import samples

FAMILY = (
    "GARCIA",
    "SMITH",
    "KEALOHA",
    "HANNEMANN",
    "MUELLER",
    "ROSSI",
    "TANAKA",
    "NGUYEN",
    "OKAFOR",
    "DUBOIS",
)
GIVEN = ("ANNA", "JOHN", "MARIA", "NOA", "LEILANI", "HANNAH", "PAUL", "JUN", "AMARA", "LARS", "CLAIRE")
MODALITIES = ("CT", "MR", "MR", "CR", "US", "CT", "MG", "PT", "DX", "NM")


@dataclass(frozen=True)
class Stored:
    """A file, and what its object is called."""

    path: Path
    study: str
    series: str
    instance: str

    @property
    def url(self) -> str:
        """Of the instance, below a DICOMweb root."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"

    @property
    def series_url(self) -> str:
        return f"/studies/{self.study}/series/{self.series}"


def make(folder: Path, ct: int, tiny: int) -> tuple[list[Stored], list[Stored]]:
    """CT files and tiny ones, made in `folder` where they are not there yet."""
    for name, count, maker in (("ct", ct, make_noisy_ct), ("tiny", tiny, make_tiny)):
        if not (folder / name).exists():
            print(f"making {count:,} files in {folder / name} ...", flush=True)
            maker(folder / name, count)
    return listed(folder / "ct"), listed(folder / "tiny")


def make_noisy_ct(folder: Path, files: int) -> None:
    """CT as `index` makes them, but with the noise that CT has: it is what codecs spend their time on."""
    make_ct(folder, files)
    chance = np.random.default_rng(17)
    noise = [chance.normal(0, 20, 512 * 512).astype("<i2") for _ in range(8)]
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        with path.open("r+b") as file:
            file.seek(-2 * noise[0].size, os.SEEK_END)
            pixels = np.frombuffer(file.read(), "<u2")
            file.seek(-pixels.nbytes, os.SEEK_END)
            file.write(np.clip(pixels + noise[number % len(noise)], 0, 4095).astype("<u2").tobytes())


def listed(folder: Path) -> list[Stored]:
    found = []
    for path in sorted(folder.rglob("*.dcm")):
        header = header_of(path)
        found.append(
            Stored(path, header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
        )
    return found


def header_of(path: Path) -> Header:
    data = path.read_bytes()
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def make_tiny(folder: Path, files: int) -> None:
    chance = random.Random(17)
    for study in range(-(-files // 2)):
        patient = study // 2
        day = f"{chance.randint(2005, 2024)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
        name = f"{FAMILY[patient % len(FAMILY)]}^{GIVEN[patient // 7 % len(GIVEN)]}"
        for series in range(min(2, files - 2 * study)):
            modality = MODALITIES[(study + 3 * series) % len(MODALITIES)]
            ds = samples.instance(
                rows=16,
                columns=16,
                patient_id=f"TINY-{patient:06d}",
                patient_name=name,
                study_uid=samples.uid("benchmark", study),
                description=f"Series {series + 1}",
                attributes={"Modality": modality, "StudyDate": day, "AccessionNumber": f"ACC{study:07d}"},
            )
            samples.save(ds, folder / f"{study // 1000:03d}" / f"{study:06d}-{series}.dcm")
