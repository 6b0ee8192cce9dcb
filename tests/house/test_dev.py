"""`dev`, the one script that a newcomer meets first."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dev"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_lists_the_verbs() -> None:
    assert dev().returncode == 0
    assert dev().stdout == dev("--help").stdout


def test_another_verb_is_an_error_and_shows_them() -> None:
    asked = dev("tset")
    assert asked.returncode == 2
    assert "./dev test" in asked.stdout


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_verbs_that_are_told_of_exist(page: str) -> None:
    told = set(re.findall(r"\./dev (\w+)", (ROOT / page).read_text()))
    assert told
    assert told <= set(re.findall(r"\./dev (\w+)", dev().stdout))
