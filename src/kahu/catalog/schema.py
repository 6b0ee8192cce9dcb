"""The catalogue's tables. Patients have studies, studies series, series instances, instances locations.

Columns hold what is searched and sorted often; `attributes` holds every other index attribute of that level as
a JSON object, keyword -> text (values joined by a backslash, as `Header.attributes`). Times are seconds since
the epoch.
"""

import hashlib

import sqlalchemy as sa

from kahu.db import Id, Text, metadata

stores = sa.Table(
    "stores",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("kind", Text, nullable=False),  # folder | owned | ...
    sa.Column("url", Text, nullable=False, unique=True),
    sa.Column("namespace", Text, nullable=False),  # of its Patient IDs (DESIGN.md, Settled 2)
    sa.Column("state", Text, nullable=False, default="new"),  # new | scanning | ready | gone
    sa.Column("note", Text, nullable=False, default=""),  # why it is in that state, for people
    sa.Column("added", sa.Float, nullable=False),
    sa.Column("scanned", sa.Float),
)

patients = sa.Table(
    "patients",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("namespace", Text, nullable=False),
    sa.Column("patient_id", Text, nullable=False),
    sa.Column("issuer", Text, nullable=False, default=""),
    sa.Column("name", Text, nullable=False, default=""),
    sa.Column("birth_date", Text, nullable=False, default=""),
    sa.Column("sex", Text, nullable=False, default=""),
    sa.Column("folded", Text, nullable=False, default=""),  # the name without case and accents (see `fold`)
    sa.UniqueConstraint("namespace", "patient_id", "issuer"),
    sa.Index("patients_by_name", "name"),
    sa.Index("patients_by_folded", "folded"),
    sa.Index("patients_by_patient_id", "patient_id"),
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uid", Text, nullable=False, unique=True),
    sa.Column("patient", Id, sa.ForeignKey("patients.id"), nullable=False, index=True),
    sa.Column("date", Text, nullable=False, default=""),
    sa.Column("time", Text, nullable=False, default=""),
    sa.Column("accession", Text, nullable=False, default=""),
    sa.Column("study_id", Text, nullable=False, default=""),
    sa.Column("description", Text, nullable=False, default=""),
    sa.Column("referring", Text, nullable=False, default=""),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Index("studies_by_date", "date", "id"),
    sa.Index("studies_by_accession", "accession"),
)

series = sa.Table(
    "series",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uid", Text, nullable=False, unique=True),
    sa.Column("study", Id, sa.ForeignKey("studies.id"), nullable=False),
    sa.Column("modality", Text, nullable=False, default=""),
    sa.Column("number", sa.BigInteger),
    sa.Column("description", Text, nullable=False, default=""),
    sa.Column("body_part", Text, nullable=False, default=""),
    sa.Column("date", Text, nullable=False, default=""),
    sa.Column("manufacturer", Text, nullable=False, default=""),
    sa.Column("model", Text, nullable=False, default=""),
    sa.Column("sop_class", Text, nullable=False, default=""),  # of its first instance
    sa.Column("instances", sa.Integer, nullable=False, default=0),
    sa.Column("frames", sa.Integer, nullable=False, default=0),
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("words", Text, nullable=False),  # what free text is looked for in, folded (see `fold`)
    sa.Column("revision", sa.Integer, nullable=False, default=0),  # +1 whenever an instance comes or goes
    sa.Column("changed", sa.Float, nullable=False),
    sa.Index("series_by_study", "study", "modality"),
    sa.Index("series_by_modality", "modality", "id"),
    sa.Index("series_by_changed", "changed"),
)

# Which stores hold instances of a series: what scopes are made of.
series_stores = sa.Table(
    "series_stores",
    metadata,
    sa.Column("series", Id, sa.ForeignKey("series.id"), primary_key=True),
    sa.Column("store", Id, sa.ForeignKey("stores.id"), primary_key=True),
)

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("key", sa.LargeBinary(10), primary_key=True),  # instance_key(uid)
    sa.Column("uid", Text, nullable=False),
    sa.Column("series", Id, sa.ForeignKey("series.id"), nullable=False, index=True),
    sa.Column("sop_class", Text, nullable=False),
    sa.Column("number", sa.BigInteger),
    sa.Column("frames", sa.Integer, nullable=False, default=1),  # 0: no pixel data
    sa.Column("attributes", sa.JSON, nullable=False),
    # With SQLite's rowid: rows lie in the order in which they came, so those of a series together.
)

# The header as it was read: DICOM JSON is made from it on first ask (DESIGN.md, Settled 5).
headers = sa.Table(
    "headers",
    metadata,
    sa.Column("key", sa.LargeBinary(10), sa.ForeignKey("instances.key"), primary_key=True),
    sa.Column("raw", sa.LargeBinary, nullable=False),  # zstd of Header.raw
    sa.Column("implicit", sa.Boolean, nullable=False),
    sa.Column("transfer_syntax", Text, nullable=False),  # of the file that it was read from
    sa.Column("pixels_vr", Text),  # null: it has no pixels
    sa.Column("omitted", sa.JSON, nullable=False),  # [[at, offset in the data set or -1, length], ...]
)

# DICOM JSON of whole series, in parts of some instances each; valid while `revision` is the series' own.
series_metadata = sa.Table(
    "series_metadata",
    metadata,
    sa.Column("series", Id, sa.ForeignKey("series.id"), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # zstd
)

locations = sa.Table(
    "locations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("store", Id, sa.ForeignKey("stores.id"), nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("stamp", Text, nullable=False),
    sa.Column("instance", sa.LargeBinary(10), nullable=False),
    sa.Column("transfer_syntax", Text, nullable=False),
    sa.Column("dataset_offset", sa.BigInteger, nullable=False),
    sa.Column("pixels_offset", sa.BigInteger),
    sa.Column("pixels_length", sa.BigInteger),  # null with an offset: encapsulated
    sa.Column("frames", sa.LargeBinary),  # byte ranges of encapsulated frames, once they are known
    sa.Column("digest", Text),  # sha256 of the data set's bytes; null: not read whole yet
    sa.Column("state", Text, nullable=False, default="ok"),  # ok | missing | conflict
    sa.UniqueConstraint("store", "key"),
    # By instance first: so that no planner asks by store alone.
    sa.Index("locations_of_instance", "instance", "store", "state"),
)

# Files that were seen and are no objects of ours: not opened again until they change.
refusals = sa.Table(
    "refusals",
    metadata,
    sa.Column("store", Id, sa.ForeignKey("stores.id"), primary_key=True),
    sa.Column("key", Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("stamp", Text, nullable=False),
    sa.Column("reason", Text, nullable=False),
    sa.Column("dicom", sa.Boolean, nullable=False),
)

# An object that says something else under a UID that we have: kept aside until a person decides.
conflicts = sa.Table(
    "conflicts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uid", Text, nullable=False, index=True),  # SOP Instance UID
    sa.Column("store", Id, sa.ForeignKey("stores.id"), nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("stamp", Text, nullable=False),
    sa.Column("door", Text, nullable=False),  # scan | stow | import | result
    sa.Column("at", sa.Float, nullable=False),
    sa.UniqueConstraint("store", "key"),
)

# What an attempt at a task delivered: seen by nobody until it is published (DESIGN.md, Settled 8).
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("task", Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("uid", Text, nullable=False),  # SOP Instance UID
    sa.Column("store", Id, sa.ForeignKey("stores.id"), nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("stamp", Text, nullable=False),
    sa.Column("digest", Text, nullable=False),
    sa.UniqueConstraint("task", "attempt", "uid"),
)

# Where a result came from, and what the gate said of it.
results = sa.Table(
    "results",
    metadata,
    sa.Column("series_uid", Text, primary_key=True),
    sa.Column("task", Text, nullable=False, index=True),
    sa.Column("tool", Text, nullable=False),  # name and version
    sa.Column("verdict", Text, nullable=False),  # valid | suspect | rejected
    sa.Column("reasons", sa.JSON, nullable=False),  # sentences
    sa.Column("sources", sa.JSON, nullable=False),  # Series Instance UIDs
    sa.Column("at", sa.Float, nullable=False),
)

# Tags belong to UIDs and survive what happens to the bytes.
tags = sa.Table(
    "tags",
    metadata,
    sa.Column("series_uid", Text, primary_key=True),
    sa.Column("label", Text, primary_key=True),
    sa.Column("by", Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Index("tags_by_label", "label"),
)

# The change feed: what came, went or was decided, in the order of commits.
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("seq", Id, primary_key=True),
    sa.Column("kind", Text, nullable=False),  # series-changed | series-gone | result | tags
    sa.Column("series_uid", Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)


def instance_key(sop_instance_uid: str) -> bytes:
    """The short key of an instance: 10 bytes of SHA-256, so that 10⁸ of them collide with odds of 10⁻⁸."""
    return hashlib.sha256(sop_instance_uid.encode()).digest()[:10]
