"""Small DICOM objects for tests: quick to make, the same on every run, plausible enough for any reader.

UIDs come from what is asked for, so that two calls with the same arguments make the same objects; another
`seed` makes others. Patients are invented.
"""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

Modality = Literal["CT", "MR"]
Orientation = Literal["axial", "coronal", "sagittal"]

# Direction cosines of rows and columns, and of the slices' normal (PS3.3 C.7.6.2.1.1).
ORIENTATIONS: dict[Orientation, tuple[tuple[int, ...], tuple[int, int, int]]] = {
    "axial": ((1, 0, 0, 0, 1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0, 0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (-1, 0, 0)),
}
TRANSFER_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
)
_NATIVE = TRANSFER_SYNTAXES[:4]
_CT_INTERCEPT = -1024


class Common(TypedDict, total=False):
    """What every object can be told about itself: arguments of `instance`."""

    patient_id: str
    patient_name: str
    study_uid: str | None
    series_uid: str | None
    description: str
    orientation: Orientation
    spacing: tuple[float, float, float]
    transfer_syntax: str
    seed: str
    attributes: Mapping[str, Any] | None


def uid(*parts: object) -> str:
    """A UID that depends on nothing but `parts` (PS3.5 B.2: the root 2.25 and a 128-bit number)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def phantom(modality: Modality, slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """A body that narrows along the slices: `(slices, rows, columns)`.

    CT, in Hounsfield units: air -1000, a trunk of 40 with two lungs of -800. MR: a bright head (300) with a
    brain (700) in it, air 0.
    """
    z, y, x = np.ogrid[:slices, :rows, :columns]
    x = (x - (columns - 1) / 2) / (columns / 2)
    y = (y - (rows - 1) / 2) / (rows / 2)
    narrow = 1 - 0.3 * z / max(slices, 1)

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = ((x - cx) / (rx * narrow)) ** 2 + ((y - cy) / (ry * narrow)) ** 2 < 1
        return inside

    if modality == "CT":
        volume = np.where(ellipse(0, 0, 0.9, 0.7), 40, -1000)
        volume[ellipse(-0.4, 0, 0.25, 0.4) | ellipse(0.4, 0, 0.25, 0.4)] = -800
    else:
        volume = np.where(ellipse(0, 0, 0.8, 0.9), 300, 0)
        volume[ellipse(0, 0, 0.6, 0.7)] = 700
    return volume.astype(np.int16)


def instance(
    *,
    modality: Modality = "CT",
    number: int = 1,
    rows: int = 64,
    columns: int = 64,
    patient_id: str = "P-1",
    patient_name: str = "Kealoha^Noa",
    study_uid: str | None = None,
    series_uid: str | None = None,
    description: str = "Sample",
    orientation: Orientation = "axial",
    spacing: tuple[float, float, float] = (2.0, 1.0, 1.0),
    transfer_syntax: str = ExplicitVRLittleEndian,
    pixels: NDArray[Any] | None = None,
    seed: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> Dataset:
    """One slice as a pydicom `Dataset`, ready for `encode` and `save`.

    `pixels` is `(rows, columns)`: Hounsfield units for CT (stored unsigned with an intercept of -1024),
    stored values for MR. `spacing` is (between slices, between rows, between columns) in mm. `attributes`
    (keyword -> value; None takes the attribute away) come last and win.
    """
    if pixels is None:
        pixels = phantom(modality, 1, rows, columns)[0]
    study_uid = study_uid or uid("study", seed, patient_id)
    series_uid = series_uid or uid("series", seed, study_uid, modality, description, orientation)
    directions, normal = ORIENTATIONS[orientation]
    between, row_spacing, column_spacing = spacing
    position = (number - 1) * between

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    ds.SOPInstanceUID = uid("instance", seed, series_uid, number)
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20240517"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "101530"
    ds.AccessionNumber = "A-1"
    ds.Modality = modality
    ds.Manufacturer = "Kahu"
    ds.ManufacturerModelName = "Sample 1"
    ds.ReferringPhysicianName = "Akana^Leilani"
    ds.StudyDescription = "Sample study"
    ds.SeriesDescription = description
    ds.PatientName = patient_name
    ds.PatientID = patient_id
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "O"
    ds.BodyPartExamined = "CHEST" if modality == "CT" else "BRAIN"
    if modality == "CT":
        ds.KVP = "120"
    else:
        ds.ScanningSequence, ds.SequenceVariant = "GR", "SP"
        ds.RepetitionTime, ds.EchoTime, ds.FlipAngle = "2000", "2.5", "8"
        ds.MagneticFieldStrength = "3"
    ds.SliceThickness = str(between)
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = study_uid
    ds.SeriesInstanceUID = series_uid
    ds.StudyID = "1"
    ds.SeriesNumber = "1"
    ds.AcquisitionNumber = "1"
    ds.InstanceNumber = str(number)
    ds.ImagePositionPatient = [float(axis * position) for axis in normal]
    ds.ImageOrientationPatient = [float(cosine) for cosine in directions]
    ds.FrameOfReferenceUID = uid("frame of reference", seed, study_uid)
    ds.SliceLocation = str(position)
    ds.PixelSpacing = [row_spacing, column_spacing]
    if modality == "CT":
        ds.WindowCenter, ds.WindowWidth = "40", "400"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_CT_INTERCEPT), "1", "HU"
        pixels = np.asarray(pixels) - _CT_INTERCEPT
    else:
        ds.WindowCenter, ds.WindowWidth = "400", "800"
    _set_pixels(ds, np.asarray(pixels)[np.newaxis], transfer_syntax)
    _override(ds, attributes)
    return ds


def series(
    folder: Path,
    *,
    modality: Modality = "CT",
    slices: int = 8,
    rows: int = 64,
    columns: int = 64,
    pixels: NDArray[Any] | None = None,
    **common: Unpack[Common],
) -> list[Path]:
    """Writes a series into `folder` (made if missing) as ``<series>-<number>.dcm``; the paths, in order.

    `pixels` is `(slices, rows, columns)` and decides the shape if given;
    else it is `phantom`. See `instance`.
    """
    if pixels is None:
        pixels = phantom(modality, slices, rows, columns)
    objects = [instance(modality=modality, number=n, pixels=p, **common) for n, p in enumerate(pixels, 1)]
    name = uid(objects[0].SeriesInstanceUID)[-8:]
    return [save(ds, folder / f"{name}-{n:04d}.dcm") for n, ds in enumerate(objects, 1)]


def multiframe(
    *,
    modality: Modality = "MR",
    frames: int = 4,
    rows: int = 64,
    columns: int = 64,
    pixels: NDArray[Any] | None = None,
    **common: Unpack[Common],
) -> Dataset:
    """An enhanced CT or MR: `frames` slices in one object, geometry in functional groups (PS3.3 A.36, A.38).

    `pixels` is `(frames, rows, columns)`, as in `instance`.
    """
    if pixels is None:
        pixels = phantom(modality, frames, rows, columns)
    ds = instance(modality=modality, pixels=pixels[0], **common)
    ds.SOPClassUID = EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage
    ds.SOPInstanceUID = uid("multiframe", ds.SOPInstanceUID)

    shared = Dataset()
    measures, orientation, transformation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    orientation.ImageOrientationPatient = ds.ImageOrientationPatient
    intercept = _CT_INTERCEPT if modality == "CT" else 0
    transformation.RescaleIntercept, transformation.RescaleSlope = str(intercept), "1"
    transformation.RescaleType = "HU" if modality == "CT" else "US"
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelValueTransformationSequence = [transformation]

    per_frame = []
    _, normal = ORIENTATIONS[common.get("orientation", "axial")]
    for n in range(len(pixels)):
        content, position, group = Dataset(), Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber = "1", n + 1
        content.DimensionIndexValues = [1, n + 1]
        position.ImagePositionPatient = [float(axis * n * ds.SliceThickness) for axis in normal]
        group.FrameContentSequence = [content]
        group.PlanePositionSequence = [position]
        per_frame.append(group)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "SliceLocation",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
    ):
        if keyword in ds:
            del ds[keyword]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = per_frame
    ds.NumberOfFrames = str(len(pixels))
    _set_pixels(ds, np.asarray(pixels) - intercept, common.get("transfer_syntax", ExplicitVRLittleEndian))
    _override(ds, common.get("attributes"))
    return ds


def document(*, title: str = "Sample report", **common: Unpack[Common]) -> Dataset:
    """An encapsulated PDF (PS3.3 A.45.1): no pixels, one long binary value."""
    syntax = common.get("transfer_syntax", ExplicitVRLittleEndian)
    if syntax not in _NATIVE:
        raise ValueError(f"no pixels to encode in transfer syntax {syntax}")
    ds = instance(**common)
    for element in list(ds.group_dataset(0x0028)):
        del ds[element.tag]
    del ds.PixelData
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.SOPInstanceUID = uid("document", ds.SOPInstanceUID)
    ds.Modality = "DOC"
    ds.DocumentTitle = title
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.4\n" + b"% sample\n" * 500
    ds.EncapsulatedDocumentLength = len(ds.EncapsulatedDocument)
    ds.file_meta = _meta(ds, syntax)
    return ds


def encode(ds: Dataset) -> bytes:
    """The object as the bytes of a Part 10 file."""
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def save(ds: Dataset, path: Path) -> Path:
    """Writes the object as a Part 10 file; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(ds))
    return path


def _set_pixels(ds: Dataset, frames: NDArray[Any], transfer_syntax: str) -> None:
    """Makes `frames` (frames, rows, columns) the 16-bit unsigned pixel data of `ds`."""
    if transfer_syntax not in TRANSFER_SYNTAXES:
        raise ValueError(f"no samples in transfer syntax {transfer_syntax}")
    stored = frames.astype("<u2")
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1:]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.file_meta = _meta(ds, transfer_syntax if transfer_syntax in _NATIVE else ExplicitVRLittleEndian)
    if transfer_syntax == ExplicitVRBigEndian:
        stored = stored.astype(">u2")
    if transfer_syntax in _NATIVE or transfer_syntax == RLELossless:
        ds.PixelData = stored.tobytes()
        ds["PixelData"].VR = "OW"
    if transfer_syntax == RLELossless:
        ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif transfer_syntax not in _NATIVE:
        ds.PixelData = encapsulate([_compress(frame, transfer_syntax) for frame in stored])
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = transfer_syntax


def _compress(frame: NDArray[Any], transfer_syntax: str) -> bytes:
    if transfer_syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(frame))
    if transfer_syntax == HTJ2KLossless:
        return bytes(imagecodecs.htj2k_encode(frame, reversible=True))
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True))


def _meta(ds: Dataset, transfer_syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    return meta


def _override(ds: Dataset, attributes: Mapping[str, Any] | None) -> None:
    for keyword, value in (attributes or {}).items():
        if value is None:
            if keyword in ds:
                del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "")
