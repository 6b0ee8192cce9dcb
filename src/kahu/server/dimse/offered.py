"""What this application performs as SCP besides storage: SOP classes, and the levels of their information models."""

from dataclasses import dataclass

from kahu.dicom.attributes import Level
from kahu.dimse.contexts import VERIFICATION, is_storage
from kahu.dimse.peers import Right
from kahu.dimse.status import Operation

RIGHT_FOR: dict[Operation, Right] = {
    "C-STORE": "store",
    "C-FIND": "query",
    "C-MOVE": "retrieve",
    "C-GET": "retrieve",
}
"""the right that a peer needs; C-ECHO needs none"""


@dataclass(frozen=True, slots=True)
class Offered:
    """A SOP class, as SCP."""

    name: str
    """as PS3.6 has it"""
    operation: Operation
    levels: tuple[Level, ...] = ()
    """of its information model, from the root; empty: it has none"""


_PATIENT_ROOT: tuple[Level, ...] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_MODELS: tuple[tuple[str, str, tuple[Level, ...]], ...] = (
    ("1", "Patient Root", _PATIENT_ROOT),
    ("2", "Study Root", _PATIENT_ROOT[1:]),
    ("3", "Patient/Study Only", _PATIENT_ROOT[:2]),
)
_OPERATIONS: tuple[tuple[str, Operation], ...] = (("1", "C-FIND"), ("2", "C-MOVE"), ("3", "C-GET"))

SERVICES: dict[str, Offered] = {
    VERIFICATION: Offered("Verification", "C-ECHO"),
    **{
        f"1.2.840.10008.5.1.4.1.2.{model}.{number}": Offered(
            f"{name} Query/Retrieve Information Model - {operation[2:]}", operation, levels
        )
        for model, name, levels in _MODELS
        for number, operation in _OPERATIONS
    },
}
"""by SOP Class UID (PS3.4 A.4, C.6)"""

_STORAGE = Offered("Storage", "C-STORE")


def offered(abstract_syntax: str) -> Offered | None:
    """What is performed for this abstract syntax; None: nothing."""
    return SERVICES.get(abstract_syntax) or (_STORAGE if is_storage(abstract_syntax) else None)
