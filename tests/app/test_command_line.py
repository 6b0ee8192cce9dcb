"""The command line, as a person uses it: each line that it prints when something is wrong, and how it ends."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kahu.testing import samples

Run = Callable[..., subprocess.CompletedProcess[str]]


def lines(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What was complained of: what was wrong, and what to do."""
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return [line.strip() for line in ended.stderr.splitlines()]


class TestIndex:
    def test_it_counts_what_is_there(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        paths = samples.series(folder, slices=5)
        (folder / "README").write_text("no DICOM")
        (folder / "broken.dcm").write_bytes(paths[0].read_bytes()[:2000])
        report = json.loads(kahu("index", folder, "--json").stdout)
        assert set(report) == {"files", "objects", "series", "refused", "seconds"}
        assert (report["files"], report["objects"], report["series"]) == (7, 5, 1)
        (refused,) = report["refused"]
        assert refused["file"] == "broken.dcm"
        assert refused["reason"]

    def test_it_says_so_in_words(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        samples.series(folder, slices=3)
        said = kahu("index", folder).stdout
        assert said.startswith("3 files: 3 DICOM objects in 1 series, 0 refused, 0 of other kinds")

    def test_what_others_have_written_is_printed_and_does_nothing(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        (path, *_) = samples.series(folder, slices=3, description="[/bold] \x1b[2J")
        (folder / "two\nlines \x1b[2J[red].dcm").write_bytes(path.read_bytes()[:2000])
        said = kahu("index", folder).stdout
        assert r"  refused two\nlines \x1b[2J[red].dcm: it" in said
        found = kahu("find")
        assert r"[/bold] \x1b[2J" in found.stdout, found.stderr

    def test_what_is_gone_or_elsewhere_is_said(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        gone, moved, _ = samples.series(folder, slices=3)
        kahu("index", folder)
        gone.unlink()
        moved.rename(folder / "moved.dcm")
        assert "1 moved; 1 not there any more" in kahu("index", folder).stdout

    def test_a_folder_without_dicom(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        (folder / "README").write_text("no DICOM")
        ended = kahu("index", folder)
        assert ended.returncode == 0
        assert "No DICOM here" in ended.stdout

    def test_a_path_that_is_not_there(self, kahu: Run, tmp_path: Path) -> None:
        wrong, what_to_do = lines(kahu("index", tmp_path / "none"))
        assert wrong == f"kahu: there is no {tmp_path / 'none'}"
        assert what_to_do

    def test_a_file(self, kahu: Run, tmp_path: Path) -> None:
        (path,) = samples.series(tmp_path / "images", slices=1)
        wrong, _ = lines(kahu("index", path))
        assert "is not a folder" in wrong

    def test_what_kahu_keeps_is_no_folder_of_images(self, kahu: Run, tmp_path: Path) -> None:
        """A home below a folder that is looked through is left out; as a folder of its own it is refused."""
        home = tmp_path / "home"
        samples.series(tmp_path / "images", slices=2)
        kahu("index", tmp_path / "images", "--home", home)
        samples.series(home / "store" / "objects", slices=3, seed="own")
        ended = kahu("index", tmp_path, "--home", home, "--json")
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["objects"] == 2
        wrong, _ = lines(kahu("index", home, "--home", home))
        assert "where Kahu keeps what it owns" in wrong

    def test_nothing_is_written_into_a_borrowed_folder(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        samples.series(folder, slices=3)
        before = {path: path.stat() for path in sorted(folder.rglob("*"))}
        times = folder.stat().st_mtime_ns
        assert kahu("index", folder).returncode == 0
        assert sorted(folder.rglob("*")) == list(before)
        assert folder.stat().st_mtime_ns == times
        for path, was in before.items():
            assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)


class TestUp:
    def test_a_second_one_on_the_same_home_says_where_the_first_is(
        self, kahu: Run, kahu_up: Callable[..., Any]
    ) -> None:
        first = kahu_up()
        wrong, _ = lines(kahu("up", "--port", "0", "--no-browser"))
        assert first.url in wrong

    def test_a_port_in_use(self, kahu: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            wrong, what_to_do = lines(kahu("up", "--port", port, "--no-browser"))
        assert f"port {port} of 127.0.0.1 is in use" in wrong
        assert "--port" in what_to_do

    def test_an_address_that_others_can_reach_needs_a_token(self, kahu: Run) -> None:
        wrong, what_to_do = lines(kahu("up", "--host", "0.0.0.0", "--port", "0", "--no-browser"))
        assert "0.0.0.0 can be reached by others" in wrong
        assert "kahu token add" in what_to_do

    def test_with_a_token_it_serves_others_and_asks_them_for_it(
        self, kahu: Run, kahu_up: Callable[..., Any]
    ) -> None:
        secret = kahu("token", "add", "ann").stdout.strip()
        server = kahu_up(options=("--host", "0.0.0.0"))
        url = str(server.url)
        assert httpx2.get(f"{url}/api/series", trust_env=False).status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx2.get(f"{url}/api/series", headers=headers, trust_env=False).status_code == 200
        found = kahu("find", "--json")
        assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_cleanly_and_soon(
        self, kahu_up: Callable[..., Any], head: Path, how: signal.Signals
    ) -> None:
        """Also with a listener that would never go away by itself."""
        server = kahu_up(head)
        url, process = str(server.url), server.process
        listening = threading.Event()

        def listen() -> None:
            with httpx2.stream("GET", f"{url}/api/events", trust_env=False, timeout=60) as stream:
                for _ in stream.iter_lines():
                    listening.set()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        assert listening.wait(30)
        process.send_signal(how)
        assert process.wait(20) == 0  # and does not wait for who listens: a minute
        listener.join(10)
        assert not listener.is_alive()

    def test_what_it_writes_is_nobody_elses_business(self, kahu: Run, tmp_path: Path) -> None:
        home = tmp_path / "home"
        samples.series(tmp_path / "images", slices=2)
        assert kahu("index", tmp_path / "images", "--home", home).returncode == 0
        written = [home, *home.iterdir()]
        assert home / "catalog.db" in written
        assert [path.name for path in written if path.stat().st_mode & 0o077] == []

    def test_a_log_that_has_no_room_is_not_cried_over(self, kahu: Run, tmp_path: Path) -> None:
        home = tmp_path / "home"
        home.mkdir()
        (home / "kahu.log").symlink_to("/dev/full")
        ended = kahu("store", "list", "--home", home)
        assert (ended.returncode, ended.stderr) == (0, "")

    def test_a_home_that_cannot_be_written(self, kahu: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        wrong, what_to_do = lines(kahu("up", "--home", tmp_path / "file" / "home", "--no-browser"))
        assert "cannot write in" in wrong
        assert "--home" in what_to_do

    def test_idle_it_takes_less_than_300_mb(self, kahu_up: Callable[..., Any], head: Path) -> None:
        server = kahu_up(head)
        server.series(1)
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        (resident,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        assert int(resident) < 300_000


class TestTokens:
    def test_a_token_is_listed_without_its_secret_and_can_be_revoked(self, kahu: Run) -> None:
        secret = kahu("token", "add", "ann", "--days", "2", "--may", "read").stdout.strip()
        assert secret.startswith("kahu_")
        listed = kahu("token", "list").stdout
        assert "ann" in listed
        assert secret not in listed
        number = listed.splitlines()[-1].split()[0]
        assert kahu("token", "revoke", number).returncode == 0
        assert "revoked" in kahu("token", "list").stdout

    def test_one_that_is_not_there(self, kahu: Run) -> None:
        wrong, _ = lines(kahu("token", "revoke", 7))
        assert "7" in wrong


class TestTools:
    def test_a_tool_is_checked_added_shown_and_removed(self, kahu: Run, tmp_path: Path) -> None:
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "tool.toml").write_text(
            'name = "mine"\nversion = "1"\ntitle = "Mine"\ndescription = "Does it."\nlicence = "MIT"\n'
            '[input]\nmodality = ["CT"]\nform = "dicom"\n'
            '[run]\ncommand = ["python", "mine.py", "{input}", "{output}"]\n'
            '[output]\nkind = "dicom"\n'
        )
        (folder / "mine.py").write_text("")
        assert kahu("tool", "check", folder).returncode == 0
        assert kahu("tool", "add", folder).returncode == 0
        assert {"mine", "lung-mask"} <= {
            one["name"] for one in json.loads(kahu("tool", "list", "--json").stdout)
        }
        assert json.loads(kahu("tool", "show", "mine").stdout)["title"] == "Mine"
        assert kahu("tool", "remove", "mine").returncode == 0
        wrong, _ = lines(kahu("tool", "show", "mine"))
        assert "mine" in wrong

    def test_a_folder_that_is_no_tool(self, kahu: Run, tmp_path: Path) -> None:
        wrong, what_to_do = lines(kahu("tool", "check", tmp_path))
        assert "tool.toml" in wrong
        assert what_to_do


def test_a_run_from_the_command_line(kahu: Run, chest: Path) -> None:
    kahu("index", chest)
    (series,) = json.loads(kahu("find", "chest", "--json").stdout)
    ended = kahu("run", "lung-mask", series["uid"], "--json")
    assert ended.returncode == 0, ended.stderr
    (result,) = json.loads(ended.stdout)["results"]
    (made,) = json.loads(kahu("find", result, "--json").stdout)
    assert made["result"]["verdict"] == "valid"
    (run,) = json.loads(kahu("runs", "--json").stdout)
    assert (run["tool"], run["state"]) == ("lung-mask", "done")
    printed = kahu("log", run["id"]).stdout
    assert all(f"--- {step} ---" in printed for step in ("fetch", "tool", "deliver"))
    wrong, what_to_do = lines(kahu("run", "lung-mask", result))
    assert "SEG" in wrong
    assert what_to_do
