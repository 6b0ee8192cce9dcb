"""The DIMSE part of the conformance statement (PS3.2), made of the tables that the door works from."""

from collections.abc import Iterable

from pydicom.uid import UID

from kahu.dicom.file_meta import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from kahu.dimse import association, contexts, pdu
from kahu.dimse.command import MOST as MOST_COMMAND
from kahu.server.dimse import listener, session
from kahu.server.dimse.offered import RIGHT_FOR, SERVICES
from kahu.server.dimse.statuses import ANSWERED, ANY
from kahu.server.markdown import table


def dimse_section() -> str:
    """The section, in Markdown, beginning with its heading of the second level."""
    return "\n\n".join((*_performed(), *_storage(), *_negotiation(), *_statuses(), *_limits(), *_asked()))


def _performed() -> Iterable[str]:
    yield "## DIMSE (PS3.4, PS3.7, PS3.8)"
    yield (
        "Switched on by `kahu up --dimse-port`. On loopback every caller is served, by whatever AE titles; elsewhere "
        "only known peers, at their addresses, that call the AE title of this application, and each as far as it may."
    )
    rows = (
        (one.name, f"`{uid}`", one.operation, ", ".join(one.levels), RIGHT_FOR.get(one.operation, ""))
        for uid, one in SERVICES.items()
    )
    yield table(("as SCP of", "UID", "operation", "levels", "right that a peer needs"), rows)
    yield (
        "Queries are always relational: keys of levels above may be left out. Identifiers are in "
        f"{', '.join(UID(uid).name for uid in contexts.NATIVE)}; answers in UTF-8 (`ISO_IR 192`) where they are not "
        "ASCII. Names match without regard to case; fuzzy matching is negotiated. Patients of two stores with the same "
        "Patient ID are two answers at the level PATIENT, and one wish in a C-MOVE or C-GET."
    )


def _storage() -> Iterable[str]:
    yield "### Storage"
    yield (
        f"SCP and SCU of the {len(contexts.STORAGE)} storage SOP classes of the standard, retired ones too, and SCP of "
        "every abstract syntax that is not known as another service: private ones, and those of later standards. "
        "Level 2 (full); nothing is coerced. Data sets are kept byte for byte, in any transfer syntax. Of several "
        "in one presentation context the first is accepted that can lose nothing; then implicit VR little endian, "
        "explicit VR big endian, lossy ones, unknown ones, and last those whose pixels lie elsewhere."
    )
    yield (
        "Objects go out (C-GET, C-MOVE, `kahu send`) as they are kept where the receiver accepts that, else "
        "transcoded without loss, else not: that sub-operation has failed."
    )
    names = sorted((UID(uid).name, uid) for uid in contexts.STORAGE if UID(uid).name)
    yield table(("SOP class", "UID"), ((name, f"`{uid}`") for name, uid in names))


def _negotiation() -> Iterable[str]:
    yield "### Association"
    rows = (
        ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS}`"),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION}`"),
        ("application context", f"`{pdu.APPLICATION_CONTEXT}`"),
        (
            "PDU that is received",
            f"{association.MAX_LENGTH:,} bytes; those that are sent, no longer than the peer's",
        ),
        ("role selection", "storage, both ways"),
        ("extended negotiation", "storage; query/retrieve: relational queries, fuzzy matching of names"),
        ("asynchronous operations", "no"),
        ("user identity", "not answered, and so declined"),
        (
            "TLS",
            "1.2 and newer, with `--dimse-tls-cert`; callers' certificates checked with `--dimse-tls-ca`",
        ),
    )
    yield table(("negotiated", "value"), rows)


def _statuses() -> Iterable[str]:
    yield "### Statuses"
    operations = (*ANSWERED.items(), ("any", ANY))
    rows = (
        (operation, f"{code:04X}", words)
        for operation, statuses in operations
        for code, words in statuses.items()
    )
    yield table(("operation", "status", "when"), rows)


def _limits() -> Iterable[str]:
    yield "### Limits of associations"
    rows = (
        ("associations at a time; more are rejected, for now", f"{listener.MOST_ASSOCIATIONS:,}"),
        ("connections at a time, those before an association included", f"{listener.MOST_CONNECTIONS:,}"),
        ("presentation contexts", f"{contexts.MOST:,}"),
        ("bytes of a command set", f"{MOST_COMMAND:,}"),
        ("seconds to ask for an association, or to end one (ARTIM)", f"{association.ARTIM:g}"),
        ("seconds without a byte, sent or taken, within a message", f"{association.TIMEOUT:g}"),
        ("seconds between two messages", f"{session.IDLE:g}"),
    )
    yield table(("limit", "value"), rows)


def _asked() -> Iterable[str]:
    yield "### As SCU"
    yield "C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET (study root), to the peers that were added with `kahu peer add`."
