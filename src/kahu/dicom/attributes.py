"""Keywords, tags, VRs, and which attributes the catalogue indexes at which level of the hierarchy.

Attributes are named by their keyword (PS3.6) everywhere but in DICOM JSON, where the standard wants tags.
"""

from functools import lru_cache
from typing import Literal, get_args

from pydicom.datadict import dictionary_VR, keyword_for_tag, private_dictionary_VR, tag_for_keyword

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""from the top"""

# What the catalogue reads from every object. Order is the order of columns in tables that people see.
PATIENT = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
    "InstitutionName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "TimezoneOffsetFromUTC",
)
SERIES = (
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "BodyPartExamined",
    "Laterality",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "MagneticFieldStrength",
    "ScanningSequence",
    "SequenceVariant",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "KVP",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PixelSpacing",
    "FrameOfReferenceUID",
    "PatientPosition",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
)
IMAGE = (
    "SOPInstanceUID",
    "SOPClassUID",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImageType",
    "AcquisitionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "ContentDate",
    "ContentTime",
    "ContentLabel",
    "AcquisitionDateTime",
)

INDEXED: dict[Level, tuple[str, ...]] = {
    "PATIENT": PATIENT,
    "STUDY": STUDY,
    "SERIES": SERIES,
    "IMAGE": IMAGE,
}
UNIQUE: dict[Level, str] = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
"""what names an entity of each level (PS3.4 C.3)"""
INDEX: tuple[str, ...] = PATIENT + STUDY + SERIES + IMAGE
LEVEL_OF: dict[str, Level] = {keyword: level for level, keywords in INDEXED.items() for keyword in keywords}

# One of them holds the pixels (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25).
PIXEL_DATA: dict[int, str] = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}


def tag_of(keyword: str) -> int | None:
    """The tag of a keyword, as one number (``0x00100020``); None: no such keyword in PS3.6."""
    tag: int | None = tag_for_keyword(keyword)
    return tag


def keyword_of(tag: int) -> str | None:
    """The keyword of a tag; None: private, or not in PS3.6."""
    return keyword_for_tag(tag) or None


def name_of(tag: int) -> str:
    """The keyword of a tag, if it names that very one; else its eight hexadecimal digits."""
    keyword = keyword_of(tag)
    return keyword if keyword and tag_of(keyword) == tag else f"{tag:08X}"


def vr_of(keyword: str) -> str:
    """The VR of a keyword of PS3.6, the first where several are allowed. KeyError: no such keyword."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return str(dictionary_VR(tag))[:2]


@lru_cache(maxsize=8192)
def vr_of_tag(tag: int, creator: str = "") -> str:
    """The VR of a tag by PS3.6, or by what is known of the private attributes of `creator`.

    "UN": not known. Where the standard allows several, all of them, as in "US or SS".
    """
    if tag >> 16 & 1:
        try:
            return str(private_dictionary_VR(tag, creator)) if creator else "UN"
        except KeyError:
            return "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


def one_vr(vr: str, signed: bool) -> str:
    """The VR meant where the standard allows several; `signed`: Pixel Representation (0028,0103) is 1."""
    if vr == "US or SS":
        return "SS" if signed else "US"
    return "OW" if " or " in vr else vr
