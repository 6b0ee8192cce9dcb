"""DICOM over TLS: with a certificate of ours, and with those of callers where authorities are named."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kahu.dicom.syntaxes import IMPLICIT_LE
from kahu.dimse import association
from kahu.dimse.association import Association
from kahu.dimse.command import C_ECHO
from kahu.dimse.contexts import VERIFICATION, proposed
from kahu.dimse.tls import client_context, server_context
from kahu.errors import AssociationLost, KahuError
from kahu.settings import Settings

Door = Any
Dcmtk = Any
Open = Callable[..., AbstractContextManager[Door]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca.pem), and certificates of it for a server and a client: NAME.pem, NAME.key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("keys")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-new", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        made = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *made)
    return folder


def settings(keys: Path, name: str = "", ca: bool = True) -> dict[str, Path]:
    found = {"dimse_tls_ca": keys / "ca.pem"} if ca else {}
    if name:
        found |= {"dimse_tls_cert": keys / f"{name}.pem", "dimse_tls_key": keys / f"{name}.key"}
    return found


def call(door: Door, options: dict[str, Path]) -> Association:
    tls = client_context(Settings(**options))  # type: ignore[arg-type]
    peer = replace(door.here, tls=True)
    return association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="TEST", tls=tls)


def test_a_certificate_of_ours(tmp_path: Path, keys: Path, open_door: Open, dcmtk: Dcmtk) -> None:
    with open_door(tmp_path / "home", **settings(keys, "server", ca=False)) as door:
        with call(door, settings(keys)) as ours:
            door.ask(ours, C_ECHO)
            assert door.answer(ours).command["Status"] == 0
        with pytest.raises(AssociationLost, match="TLS"):
            call(door, {})  # does not know the authority
        with pytest.raises(AssociationLost):
            door.request((VERIFICATION, [IMPLICIT_LE]))  # without TLS
        echo = dcmtk("echoscu", "-v", "+tla", "+cf", keys / "ca.pem", "127.0.0.1", door.port)
        assert echo.returncode == 0, echo.stderr


def test_callers_show_one_too(tmp_path: Path, keys: Path, open_door: Open, dcmtk: Dcmtk) -> None:
    with open_door(tmp_path / "home", **settings(keys, "server")) as door:
        with pytest.raises(AssociationLost):
            call(door, settings(keys)).release()
        with call(door, settings(keys, "client")) as ours:
            door.ask(ours, C_ECHO)
            assert door.answer(ours).command["Status"] == 0
        own = ("+tls", keys / "client.key", keys / "client.pem", "+cf", keys / "ca.pem")
        echo = dcmtk("echoscu", *own, "127.0.0.1", door.port)
        assert echo.returncode == 0, echo.stderr


def test_files_that_cannot_be_used(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for options in (
        {"dimse_tls_ca": keys / "ca.pem"},
        {"dimse_tls_cert": tmp_path / "empty.pem"},
        {"dimse_tls_cert": tmp_path / "nowhere.pem"},
        {"dimse_tls_cert": keys / "server.pem", "dimse_tls_key": keys / "client.key"},
        {**settings(keys, "server"), "dimse_tls_ca": tmp_path / "empty.pem"},
    ):
        with pytest.raises(KahuError):
            server_context(Settings(home=tmp_path, **options))  # type: ignore[arg-type]
