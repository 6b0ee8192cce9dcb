"""Where objects belong: the rows of their series, studies and patients, made where they are new.

Each takes its attributes from the object that brought it, and stays with the parent that it came with; until
an object is replaced by another under its own UID, which then says both anew.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from kahu.catalog import columns, forget, plain
from kahu.catalog.fold import fold
from kahu.catalog.places import Place
from kahu.catalog.schema import patients, series, studies
from kahu.dicom.header import Header


@dataclass(frozen=True, slots=True)
class Parents:
    """A series that objects belong to, with the study and patient that it was first seen with."""

    id: int
    study_uid: str
    patient_id: str

    def fits(self, header: Header) -> bool:
        return (self.study_uid, self.patient_id) == (
            columns.clean(header.study_instance_uid),
            columns.clean(header.attributes.get("PatientID", "")),
        )


def parents_of(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[str, Parents]:
    """The series of these objects, with their studies and patients, made where they are new; by their UIDs.

    A series takes its attributes from the object that brought it, and stays in the study that it came with.
    """
    wanted = {header.series_instance_uid: header for header in reversed(found)}
    known = _known(db, wanted)
    missing = {uid: header for uid, header in wanted.items() if uid not in known}
    if missing:
        study_ids = _studies(db, place, list(missing.values()))
        now = time.time()
        rows = [
            columns.values("SERIES", header.attributes)
            | {
                "uid": uid,
                "study": study_ids[header.study_instance_uid],
                "sop_class": header.sop_class_uid,
                "words": _words(header),
                "changed": now,
            }
            for uid, header in missing.items()
        ]
        plain.insert(db, series, rows, new_only=True)
        known |= _known(db, missing)
    return known


def renew(db: sa.Connection, place: Place, replaced: Sequence[Header]) -> None:
    """Takes the attributes of series, studies and patients from objects that have replaced others: files that
    somebody has edited where they lie. What nobody belongs to any more is forgotten."""
    by_series = {header.series_instance_uid: header for header in replaced}
    if not by_series:
        return
    uids = list(by_series)
    was = sa.select(series.c.study, studies.c.patient).join(studies, studies.c.id == series.c.study)
    former = db.execute(was.where(series.c.uid.in_(uids))).all()
    by_study = {header.study_instance_uid: header for header in replaced}
    patient_ids = _patients(db, place, list(by_study.values()))
    study_ids = _studies(db, place, list(by_study.values()))
    for header in by_study.values():
        patient = patient_ids[_patient_key(place, header)]
        row = columns.values("PATIENT", header.attributes)
        db.execute(sa.update(patients).where(patients.c.id == patient).values(row))
        row = columns.values("STUDY", header.attributes) | {"patient": patient}
        db.execute(sa.update(studies).where(studies.c.uid == header.study_instance_uid).values(row))
    for uid, header in by_series.items():
        row = columns.values("SERIES", header.attributes) | {
            "study": study_ids[header.study_instance_uid],
            "words": _words(header),
        }
        db.execute(sa.update(series).where(series.c.uid == uid).values(row))
    forget.childless(db, {row.study for row in former}, {row.patient for row in former})


_KNOWN = """
SELECT series.uid, series.id, studies.uid, patients.patient_id
FROM series JOIN studies ON studies.id = series.study JOIN patients ON patients.id = studies.patient
WHERE series.uid IN ?
"""


def _known(db: sa.Connection, uids: Collection[str]) -> dict[str, Parents]:
    if not uids:
        return {}
    return {row[0]: Parents(*row[1:]) for row in plain.execute(db, _KNOWN, list(uids))}


def studies_of(db: sa.Connection, series_uids: Collection[str]) -> dict[str, str]:
    """The studies that series are known to be of, by Series Instance UID."""
    return {uid: parents.study_uid for uid, parents in _known(db, series_uids).items()}


def _studies(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[str, int]:
    """Ids of the studies of these objects, by their UIDs."""
    wanted = {header.study_instance_uid: header for header in reversed(found)}
    ids = _study_ids(db, wanted)
    missing = [header for uid, header in wanted.items() if uid not in ids]
    if missing:
        patient_ids = _patients(db, place, missing)
        rows = [
            columns.values("STUDY", header.attributes)
            | {"uid": header.study_instance_uid, "patient": patient_ids[_patient_key(place, header)]}
            for header in missing
        ]
        plain.insert(db, studies, rows, new_only=True)
        ids = _study_ids(db, wanted)
    return ids


def _study_ids(db: sa.Connection, uids: Collection[str]) -> dict[str, int]:
    rows = db.execute(sa.select(studies.c.uid, studies.c.id).where(studies.c.uid.in_(list(uids))))
    return {row.uid: row.id for row in rows}


_PatientKey = tuple[str, str, str]


def _patient_key(place: Place, header: Header) -> _PatientKey:
    """Namespace, Patient ID, issuer. A study without Patient ID is a patient of its own."""
    row = columns.values("PATIENT", header.attributes)
    namespace = place.namespace if row["patient_id"] else f"{place.namespace} {header.study_instance_uid}"
    return namespace, row["patient_id"], row["issuer"]


def _patients(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[_PatientKey, int]:
    wanted = {_patient_key(place, header): header for header in reversed(found)}
    rows = [
        columns.values("PATIENT", header.attributes) | {"namespace": key[0]} for key, header in wanted.items()
    ]
    plain.insert(db, patients, rows, new_only=True)
    c = patients.c
    rows_now = db.execute(
        sa.select(c.namespace, c.patient_id, c.issuer, c.id).where(
            c.namespace.in_({key[0] for key in wanted}), c.patient_id.in_({key[1] for key in wanted})
        )
    )
    return {(namespace, patient_id, issuer): id_ for namespace, patient_id, issuer, id_ in rows_now}


_WORDS = (
    *("PatientID", "PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription", "ProtocolName"),
    *("Modality", "BodyPartExamined", "Manufacturer", "ManufacturerModelName"),
)


def _words(header: Header) -> str:
    """What free text is looked for in."""
    found = " ".join(filter(None, (header.attributes.get(keyword) for keyword in _WORDS)))
    return fold(columns.clean(found)) or ""
