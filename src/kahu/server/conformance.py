"""The conformance statement (PS3.2), made of the very tables that the doors work from."""

from collections.abc import Iterable

from kahu import __version__
from kahu.catalog import search
from kahu.dicom.attributes import INDEXED
from kahu.dicom.syntaxes import KNOWN
from kahu.dicom.walk import LONG_VALUE
from kahu.server import connection
from kahu.server.dicomweb.forms import as_frame, frame_type
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.look import LARGEST
from kahu.server.dicomweb.resources import resources
from kahu.server.dimse.conformance import dimse_section
from kahu.server.markdown import table

_NOT_THERE = (
    "Storage Commitment (PS3.4 annex J)",
    "Modality Worklist and Modality Performed Procedure Step (PS3.4 annexes K and F)",
    "UPS-RS, the worklist service of PS3.18 §11",
    "XML (`application/dicom+xml`): metadata and answers are JSON",
    "ICC profiles and presentation states in rendered resources; annotations burnt into pictures",
    "video made of frames; frames cut out of a video, which is given whole",
    "anonymisation (`anonymize` of WADO-URI is refused)",
    "ranges of several parts at once; `Last-Modified` (entity tags serve)",
)


def statement() -> str:
    """The whole statement, in Markdown."""
    return (
        "\n\n".join([_title(), *_dicomweb(), *_syntaxes(), *_attributes(), dimse_section(), *_missing()])
        + "\n"
    )


def _title() -> str:
    return (
        "# Conformance\n\n"
        f"This page is printed by `kahu conformance`, which reads it off the program: it is true of Kahu {__version__}."
    )


def _dicomweb() -> list[str]:
    transactions = table(
        ("transaction", "request", "gives", "takes", "parameters"),
        (
            (
                one.transaction,
                f"`{one.method} {one.path.replace(':path', '')}`",
                _code(one.gives),
                _code(one.takes),
                _code(one.parameters),
            )
            for one in resources(Images())
        ),
    )
    limits = table(
        ("limit", "value"),
        (
            ("matches in one answer, more with `offset`", f"{search.MOST:,}"),
            ("the same with `includefield=all`", f"{search.MOST_WHOLE:,}"),
            ("bytes of a binary value beyond which metadata have a `BulkDataURI`", f"{LONG_VALUE:,}"),
            ("pixels along a side of a `viewport`", f"{LARGEST:,}"),
            ("connections at a time", f"{connection.MOST:,}"),
            ("seconds for the head of a request", f"{connection.HEAD:g}"),
            ("seconds without a byte, sent or taken, within a body", f"{connection.STALL:g}"),
        ),
    )
    return [
        "## DICOMweb (PS3.18)",
        "Below `/dicomweb`. `GET` answers `HEAD`, too; `OPTIONS` of a resource names its methods, and of `/dicomweb/` "
        "describes them all. `accept` in the query wins over the header; parameters that are not known are ignored "
        "and named in `Warning: 299`.",
        transactions,
        "### Limits",
        limits,
    ]


def _syntaxes() -> list[str]:
    rows = (
        (
            syntax.name,
            f"`{uid}`",
            f"`{frame_type(as_frame(uid))}`",
            "yes" if syntax.given else "no",
            "yes" if syntax.lossy else "",
        )
        for uid, syntax in KNOWN.items()
    )
    return [
        "## Transfer syntaxes",
        "Objects of any transfer syntax are kept and given as they are. Those of these are decoded, and, where the "
        "image allows it, given in the others that are marked *given*.",
        table(("name", "UID", "media type of a frame", "given", "loses something"), rows),
    ]


def _attributes() -> list[str]:
    rows = ((level.lower(), _code(keywords)) for level, keywords in INDEXED.items())
    return [
        "## Attributes that are indexed",
        "QIDO-RS and C-FIND match and return any attribute that the objects have. These are answered from an index, "
        "the others from the headers.",
        table(("level", "attributes"), rows),
    ]


def _missing() -> list[str]:
    return ["## Not there", "\n".join(f"- {one}" for one in _NOT_THERE)]


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
