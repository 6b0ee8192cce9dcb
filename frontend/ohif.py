"""The OHIF viewer, taken from npm ready-built, trimmed, and made to live under ``/ohif``.

OHIF is built to stand at the root of its own host. What has to change for a sub-path is a list of exact
replacements, each with the number of times it must match: another version of OHIF fails here, not in a
browser. Everything but `index.html` lies in a folder that is named after its content, so that browsers may
keep it for ever.
"""

import base64
import fnmatch
import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import packed

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="

TEMPLATES = Path(__file__).with_name("viewer")
DROPPED = (
    "ort/*",  # a runtime for neural networks in the browser, 139 MB
    "dicom-microscopy-viewer/*",
    "customizations/*",
    "assets/*.*",  # icons for the home screens of telephones
    "*.map",
    # Parts for whole slides, PET metabolic volume, preclinical 4D, pleural ultrasound, OHIF's own tests.
    *("5189.*", "5731.*", "8832.*", "9290.*"),
    *("7499.*", "8492.*", "976.css"),
    *("1602.*", "4683.*"),
    *("1180.*", "2779.*"),
    *("4556.*", "8423.*", "9437.*"),
    # The service worker, sign-in by OpenID Connect, and what hosting companies need.
    *("sw.js", "init-service-worker.js", "oidc-client.min.js", "silent-refresh.html", "google.js"),
    *("es6-shim.min.js", "polyfill.min.js", "_headers", "_redirects", "serve.json", "manifest.json"),
    # Written anew.
    *("index.html", "app-config.js"),
)
KEPT = ("assets/images/*",)  # pictures of the presets for volume rendering


@dataclass(frozen=True)
class Edit:
    """In the file that matches `file`, `old` becomes `new`, exactly `times` times."""

    file: str
    old: str
    new: str
    times: int = 1


class Mismatch(Exception):
    """OHIF is not what these edits were written for."""


PUBLIC_PATH = '__webpack_require__.p = "/";'


def edits(base: str) -> tuple[Edit, ...]:
    """All edits for assets at the URL path `base`, which begins and ends with a slash."""
    scripts = ("app", "136", "2299", "8097", "compute", "histogram-worker", "interpolation", "polySeg")
    modes = ("tmtv", "microscopy", "preclinical-4d", "ultrasound-pleura-bline")
    return (
        *(Edit(f"{name}.bundle.*.js", PUBLIC_PATH, PUBLIC_PATH.replace("/", base)) for name in scripts),
        *(Edit("app.bundle.*.js", f'pluginImports_modes.push("@ohif/mode-{mode}");', "") for mode in modes),
        Edit(
            "app.bundle.*.js",
            'pluginImports_extensions.push("@ohif/extension-ultrasound-pleura-bline");',
            "",
        ),
        # A Window Width of 0 says nothing (PS3.3 C.11.2.1.2); OHIF would paint the image black.
        Edit(
            "app.bundle.*.js",
            "if (WindowCenter == null || WindowWidth == null) {",
            "if (WindowCenter == null || !(parseFloat(WindowWidth) > 0)) {",
        ),
        # An item of a report may come without a concept name or a unit (PS3.3 C.17.3, type 1C); OHIF would
        # show an empty page instead of the report.
        Edit(
            "9068.bundle.*.js",
            "    CodeMeaning\n  } = ConceptNameCodeSequence;",
            "    CodeMeaning\n  } = ConceptNameCodeSequence ?? { CodeMeaning: contentItem.ValueType };",
        ),
        Edit(
            "9068.bundle.*.js", "} = MeasurementUnitsCodeSequence;", "} = MeasurementUnitsCodeSequence ?? {};"
        ),
        # A series opens at its middle, where its thumbnail is from, for its first slices show mostly air; a SEG
        # where most is marked, a RTSTRUCT at the middle of its contours, instead of at the first of them.
        Edit(
            "89.bundle.*.js",
            "custom: 'sopInstanceLocation'",
            "custom: 'sopInstanceLocation', defaultValue: { preset: 'middle' }",
        ),
        Edit(
            "89.bundle.*.js",
            "let firstSegmentedSliceImageId = null;",
            "let firstSegmentedSliceImageId = null, most = 0;",
        ),
        Edit(
            "89.bundle.*.js",
            "if (!firstSegmentedSliceImageId && scalarData.some(value => value !== 0)) {",
            "let marked = 0;\n      for (const value of scalarData) if (value !== 0) marked++;\n"
            "      if (marked > most) {\n        most = marked;",
        ),
        Edit(
            "89.bundle.*.js",
            "referencedImageIds?.find(imageId => referencedImageIdsWithGeometry.some(referencedId => "
            "imageId.includes(referencedId))) || null;",
            "referencedImageIds?.filter(imageId => referencedImageIdsWithGeometry.some(referencedId => "
            "imageId.includes(referencedId))).find((_, at, all) => at === all.length >> 1) || null;",
        ),
        # ... which it jumps to a moment later, when the viewport may have been made anew for the overlay.
        Edit(
            "app.bundle.*.js",
            "this.debouncedTimeout = window.setTimeout(() => {\n",
            "this.debouncedTimeout = window.setTimeout(() => {\n                if (this.isDisabled) return;\n",
        ),
        Edit("app.bundle.css", "url(/", f"url({base}", times=5),
    )


def wanted(name: str) -> bool:
    """Whether a file of OHIF's ``dist`` folder is needed for CT, MR, SEG, RTSTRUCT, SR and PDF."""
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT):
        return True
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in DROPPED)


def apply(edit: Edit, name: str, text: str) -> str:
    """`text` after one edit. Raises Mismatch when it matches another number of times."""
    found = text.count(edit.old)
    if found != edit.times:
        raise Mismatch(f"{name}: {edit.old!r} stands there {found} times, not {edit.times}")
    return text.replace(edit.old, edit.new)


def find(pattern: str, names: Iterable[str]) -> str:
    """The one name that matches. Raises Mismatch when there is none, or more."""
    matches = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if len(matches) != 1:
        raise Mismatch(f"{pattern} should be one file, but it is {matches or 'none'}")
    return matches[0]


def patch(texts: dict[str, str], base: str) -> dict[str, str]:
    """The texts of scripts and style sheets, by name, made to be served from `base`."""
    patched = dict(texts)
    for edit in edits(base):
        name = find(edit.file, patched)
        patched[name] = apply(edit, name, patched[name])
    for name, text in patched.items():
        if PUBLIC_PATH in text:
            raise Mismatch(f"{name} would load its parts from the root, and no edit mends it")
    return patched


def stamp() -> str:
    """A name for this very content: OHIF's version, and a digest of all that we change in it."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(TEMPLATES.iterdir())):
        digest.update(path.read_bytes())
    return f"{VERSION}-{digest.hexdigest()[:8]}"


def check(package: Path) -> None:
    """Raises Mismatch unless the package is the very one that was looked at."""
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise Mismatch(f"{package.name} is not the {PACKAGE} {VERSION} that is expected: its digest differs")


def build(target: Path, scratch: Path, fetch: Callable[[str, Path], Path]) -> None:
    """Writes the viewer into the folder `target`, in place of what was there.

    `fetch(spec, folder)` downloads a package of npm into `folder` and returns the tarball's path.
    """
    package = fetch(f"{PACKAGE}@{VERSION}", scratch)
    check(package)
    with tarfile.open(package) as archive:
        # the digest is that of a package we know; Python 3.11.2, Debian 12's, has no filters yet
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(scratch)
    dist = scratch / "package" / "dist"
    names = [path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_file()]
    for pattern in DROPPED:
        if not fnmatch.filter(names, pattern):
            raise Mismatch(f"{pattern} should be dropped, but there is no such file")

    name_of_content = stamp()
    base = f"/ohif/{name_of_content}/"
    kept = [name for name in names if wanted(name)]
    texts = {name: (dist / name).read_text() for name in kept if Path(name).suffix in {".js", ".css"}}
    contents = {name: text.encode() for name, text in patch(texts, base).items()}
    contents |= {name: (dist / name).read_bytes() for name in kept if name not in contents}
    contents["app-config.js"] = fill("app-config.js", base=base).encode()
    contents["LICENSE"] = (scratch / "package" / "LICENSE").read_bytes()

    shutil.rmtree(target, ignore_errors=True)
    for name, content in contents.items():
        packed.write(target / name_of_content / name, content)
    page = fill("index.html", base=base, bundle=find("app.bundle.*.js", kept))
    packed.write(target / "index.html", page.encode())


def fill(template: str, **values: str) -> str:
    """A template with ``{name}`` replaced by the value of that name."""
    text = (TEMPLATES / template).read_text()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
