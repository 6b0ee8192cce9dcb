"""How fast headers are read, side by side: Kahu, pydicom, and what opening and reading the bytes alone costs.

    python benchmarks/headers.py [FILES]

Makes FILES (400) CT files of 530 KB with some 110 attributes and nested sequences in a temporary folder, and
reads them by each reader in turn, five rounds, one process, page cache warm. Both readers give the attributes
of Kahu's index as text. Times are CPU time, medians over the rounds.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from kahu.dicom.attributes import INDEX
from kahu.dicom.header import read_header
from kahu.testing import samples

ROUNDS = 5
HEAD = 16 << 10


def ct(number: int) -> Dataset:
    """One slice, with as many attributes as scanners write."""
    ds = samples.instance(number=number, rows=512, columns=512, spacing=(1.25, 0.7, 0.7))
    ds.InstanceCreationDate, ds.InstanceCreationTime = "20240517", "101531.250000"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240517", "101530.900000"
    ds.InstitutionName, ds.StationName = "General Hospital", "CT01"
    ds.PatientAge, ds.PatientWeight, ds.PatientSize = "054Y", "81.5", "1.78"
    ds.ScanOptions, ds.ProtocolName = "HELICAL MODE", "Thorax routine"
    ds.DataCollectionDiameter, ds.ReconstructionDiameter = "500", "358.4"
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = "949.147", "541"
    ds.GantryDetectorTilt, ds.TableHeight, ds.RotationDirection = "0", "157.5", "CW"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure, ds.FilterType = "500", "310", "155", "BODY FILTER"
    ds.GeneratorPower, ds.FocalSpots, ds.ConvolutionKernel = "37200", "1.2", "STANDARD"
    ds.SingleCollimationWidth, ds.TotalCollimationWidth, ds.TableSpeed = 0.625, 40.0, 110.0
    ds.SpiralPitchFactor, ds.CTDIvol = 0.984, 9.3
    ds.PositionReferenceIndicator, ds.PixelPaddingValue = "XY", 0
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, 3071
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20240517", "101500"
    for keyword, count in (("ReferencedImageSequence", 3), ("SourceImageSequence", 1)):
        references = [Dataset() for _ in range(count)]
        for n, reference in enumerate(references):
            reference.ReferencedSOPClassUID = ds.SOPClassUID
            reference.ReferencedSOPInstanceUID = samples.uid(keyword, number, n)
        setattr(ds, keyword, references)
    for keyword in ("ProcedureCodeSequence", "AnatomicRegionSequence", "CTDIPhantomTypeCodeSequence"):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
        setattr(ds, keyword, [code])
    private = ds.private_block(0x0019, "KAHU BENCHMARK", create=True)
    for n in range(24):
        private.add_new(n, "DS", f"{n * 1.5:.3f}")
    return ds


def by_kahu(path: str) -> object:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        return read_header(lambda offset, length: os.pread(descriptor, length, offset), size)
    finally:
        os.close(descriptor)


def by_pydicom(path: str) -> object:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    return {keyword: str(value) for keyword in INDEX if (value := ds.get(keyword)) is not None}


def limit(path: str) -> object:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(descriptor).st_size, os.pread(descriptor, HEAD, 0)
    finally:
        os.close(descriptor)


READERS: dict[str, Callable[[str], object]] = {
    "open and pread 16 KiB": limit,
    "Kahu": by_kahu,
    "pydicom": by_pydicom,
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(samples.save(ct(n), Path(folder) / f"{n:05d}.dcm")) for n in range(1, count + 1)]
        attributes = len(pydicom.dcmread(paths[0], stop_before_pixels=True))
        size = Path(paths[0]).stat().st_size
        print(f"{count} CT files of {size:,} bytes, {attributes} top-level attributes\n")
        spent: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in range(ROUNDS):
            for name, reader in READERS.items():
                start = time.process_time()
                for path in paths:
                    reader(path)
                spent[name].append((time.process_time() - start) / count)
    medians = {name: statistics.median(times) for name, times in spent.items()}
    ours = medians["Kahu"]
    print(f"{'reader':24}{'µs/file':>10}{'files/s':>10}{'× Kahu':>10}")
    for name, seconds in medians.items():
        print(f"{name:24}{seconds * 1e6:10.1f}{1 / seconds:10,.0f}{seconds / ours:10.2f}")
    print(f"\nKahu takes {ours / medians['open and pread 16 KiB']:.1f} times what the bytes alone cost,")
    print(f"pydicom {medians['pydicom'] / ours:.0f} times what Kahu takes.")


if __name__ == "__main__":
    main()
