"""What nobody has foreseen: one clear line for the one who asked, the place of it in the log, patients in neither."""

import logging
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from kahu.catalog import gallery
from kahu.db import Database
from kahu.errors import FAULT
from kahu.serving import private
from kahu.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def log_of(settings: Settings) -> str:
    for handler in logging.getLogger("kahu").handlers:
        handler.flush()
    return (settings.home / "kahu.log").read_text()


def test_a_fault_is_one_clear_line_and_a_traceback_in_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def summaries(*_anything: object) -> None:
        raise ZeroDivisionError("nobody has foreseen this")

    monkeypatch.setattr(gallery, "summaries", summaries)
    with private(settings) as url, httpx2.Client(base_url=url, trust_env=False) as http:
        answer = http.get("/api/series")
        assert answer.status_code == 500
        assert answer.json() == {"error": "something unexpected went wrong", "hint": FAULT}
        assert http.get("/healthz").status_code == 200
    assert "ZeroDivisionError: nobody has foreseen this" in log_of(settings)
    assert capfd.readouterr().err == ""


def test_what_is_no_http_is_told_to_the_log(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    with private(settings) as url, httpx2.Client(base_url=url, trust_env=False) as http:
        assert http.request("NONSENSE", "/").status_code == 400
    assert "Invalid HTTP request" in log_of(settings)
    assert capfd.readouterr().err == ""


def test_what_libraries_say_of_what_others_send_is_not_printed(settings: Settings) -> None:
    serve = (
        "import httpx2, pathlib, sys\n"
        "from kahu.serving import private\n"
        "from kahu.settings import Settings\n"
        "with private(Settings(home=pathlib.Path(sys.argv[1]))) as url:\n"
        "    form = {'Content-Type': 'multipart/related; type=\"application/dicom\"; boundary=b'}\n"
        "    print(httpx2.post(f'{url}/dicomweb/studies', headers=form, content=b'--no').status_code)\n"
    )
    command = [sys.executable, "-c", serve, str(settings.home)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("400\n", "")


def test_an_error_of_the_database_names_no_patient(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    with pytest.raises(sa.exc.OperationalError) as raised, database.write() as db:
        db.execute(sa.text("INSERT INTO nowhere VALUES (:name)"), {"name": "Kahale^Ipo"})
    database.close()
    assert "Kahale" not in str(raised.value)
