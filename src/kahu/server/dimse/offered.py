"""What this application performs as SCP besides storage: SOP classes, and the levels of their information models."""

from dataclasses import dataclass
from typing import Literal

from kahu.dicom.query import QueryLevel
from kahu.dimse.contexts import VERIFICATION, is_storage
from kahu.dimse.peers import Right

Service = Literal["C-ECHO", "C-STORE", "C-FIND", "C-MOVE", "C-GET"]

RIGHT_FOR: dict[Service, Right] = {
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
    service: Service
    levels: tuple[QueryLevel, ...] = ()
    """of its information model, from the root; empty: it has none"""


_PATIENT_ROOT: tuple[QueryLevel, ...] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_MODELS: tuple[tuple[str, str, tuple[QueryLevel, ...]], ...] = (
    ("1", "Patient Root", _PATIENT_ROOT),
    ("2", "Study Root", _PATIENT_ROOT[1:]),
    ("3", "Patient/Study Only", _PATIENT_ROOT[:2]),
)
_OPERATIONS: tuple[tuple[str, Service], ...] = (("1", "C-FIND"), ("2", "C-MOVE"), ("3", "C-GET"))

SERVICES: dict[str, Offered] = {
    VERIFICATION: Offered("Verification", "C-ECHO"),
    **{
        f"1.2.840.10008.5.1.4.1.2.{model}.{number}": Offered(
            f"{name} Query/Retrieve Information Model - {service[2:]}", service, levels
        )
        for model, name, levels in _MODELS
        for number, service in _OPERATIONS
    },
}
"""by SOP Class UID (PS3.4 A.4, C.6)"""

_STORAGE = Offered("Storage", "C-STORE")


def offered(abstract_syntax: str) -> Offered | None:
    """What is performed for this abstract syntax; None: nothing."""
    return SERVICES.get(abstract_syntax) or (_STORAGE if is_storage(abstract_syntax) else None)
