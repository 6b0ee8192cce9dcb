"""Every error that Kahu raises on purpose, on one page.

An error says what was wrong in `str(error)` and what to do about it in `error.hint`. The doors translate
an error to a status once, by `error.status` (HTTP, PS3.18 §8.5); the command line prints both lines and
exits with 1. Messages never hold patients' data: they name files, UIDs and attributes, not values.
"""

from collections.abc import Sequence

FAULT = "this is a fault in Kahu: its log, kahu.log, says more"
"""what to do about an error that nobody has foreseen"""


class KahuError(Exception):
    """Something went wrong that a person can understand and mend."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)  # so that a traceback, in a notebook, say, tells it, too


class BadRequest(KahuError):
    """What was asked for is not well formed."""

    status = 400


class Unauthorized(KahuError):
    """Nobody has said who they are, or the token is not known, revoked or expired."""

    status = 401


class Forbidden(KahuError):
    """We know who asks, and they may not."""

    status = 403


class NotFound(KahuError):
    """There is no such thing, or it may not be seen by the one who asks: the two look alike."""

    status = 404


class NotAcceptable(KahuError):
    """It exists, but in none of the forms that were asked for."""

    status = 406

    def __init__(self, message: str, hint: str = "", acceptable: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.acceptable = acceptable
        """media types that it can be had in, the best first; empty: not said"""


class Conflict(KahuError):
    """It contradicts what is there already."""

    status = 409


class OtherStudy(Conflict):
    """An object is of another study than the one that it was sent to, or than its series is here."""


class Unsupported(KahuError):
    """The content is of a type that is not taken here."""

    status = 415


class Unavailable(KahuError):
    """It is known, but cannot be had now: a store that is gone, a server that is busy."""

    status = 503


class AssociationRefused(Unavailable):
    """Another application is there, and does not accept the association (PS3.8 §9.3.4)."""

    status = 424


class AssociationLost(Unavailable):
    """Another application cannot be reached, has aborted, vanished, fallen silent, or does not speak DICOM."""

    status = 424


class RefusedByPeer(Unavailable):
    """Another application has answered that it will not, or cannot, do what it was asked for (PS3.7 annex C)."""

    status = 424


class StorageFull(KahuError):
    """There is no room left where bytes should be written."""

    status = 507


class NotDicom(KahuError):
    """These bytes are not DICOM. Not a fault: folders hold other files, too."""

    status = 400


class BrokenDicom(NotDicom):
    """These bytes claim to be DICOM (PS3.10) but cannot be read."""


class BytesChanged(Unavailable):
    """The bytes in a store are not those that were indexed; a rescan is needed (never wrong pixels)."""

    store: int | None = None
    """the id of the store, where it is known"""


class BytesMissing(Unavailable):
    """The bytes, or the whole store, are not where they were."""

    store: int | None = None
    """the id of the store, where it is known"""
