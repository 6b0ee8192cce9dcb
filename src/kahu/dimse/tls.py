"""DICOM over TLS (PS3.15 annex B): what we show, and whom we trust. TLS 1.2 and newer, of the platform's choice."""

import ssl
from pathlib import Path

from kahu.errors import KahuError
from kahu.settings import Settings


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """For those who call us; None: they call without TLS. KahuError: the files cannot be used."""
    if settings.dimse_tls_cert is None:
        if settings.dimse_tls_key or settings.dimse_tls_ca:
            raise KahuError("TLS for DIMSE needs a certificate", "give one with --dimse-tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(context, settings.dimse_tls_cert, settings.dimse_tls_key)
    if settings.dimse_tls_ca:
        _trust(context, settings.dimse_tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: Settings) -> ssl.SSLContext:
    """For peers whom we call over TLS: they must show a certificate of an authority that we, or this computer,
    trust, for the host that we call. KahuError: the files cannot be used."""
    context = ssl.create_default_context()
    if settings.dimse_tls_ca:
        _trust(context, settings.dimse_tls_ca)
    if settings.dimse_tls_cert:
        _show(context, settings.dimse_tls_cert, settings.dimse_tls_key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def no_terminal() -> str:
        raise KahuError("the private key for TLS has a password", "give a key file that has none")

    try:
        context.load_cert_chain(certificate, key, password=no_terminal)
    except OSError as error:
        raise _unusable("certificate or its key", error) from error


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    try:
        context.load_verify_locations(authorities)
    except OSError as error:
        raise _unusable("authorities", error) from error


def _unusable(what: str, error: OSError) -> KahuError:
    reason = getattr(error, "reason", "") or error.strerror
    return KahuError(f"the {what} for TLS cannot be used: {reason}", "give files in PEM format")
