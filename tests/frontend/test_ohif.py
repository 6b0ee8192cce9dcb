"""The viewer's files are changed exactly where they must be, or the build fails."""

import re
from pathlib import Path

import ohif
import pytest

BASE = "/ohif/3.13.2-0123abcd/"


def dist() -> dict[str, str]:
    """The smallest texts that all edits match."""
    texts: dict[str, str] = {}
    for edit in ohif.edits(BASE):
        name = edit.file.replace("*", "0a1b")
        texts[name] = texts.get(name, "") + "before " + edit.old * edit.times + " after\n"
    return texts


def test_parts_are_loaded_from_the_base() -> None:
    patched = ohif.patch(dist(), BASE)
    assert patched["compute.bundle.0a1b.js"] == f'before __webpack_require__.p = "{BASE}"; after\n'
    assert patched["app.bundle.css"].count(f"url({BASE}") == 5


def test_modes_that_were_left_out_are_not_registered() -> None:
    assert "pluginImports" not in ohif.patch(dist(), BASE)["app.bundle.0a1b.js"]


def test_an_edit_that_matches_too_often_fails() -> None:
    texts = dist()
    texts["app.bundle.0a1b.js"] += ohif.PUBLIC_PATH
    with pytest.raises(ohif.Mismatch, match="stands there 2 times, not 1"):
        ohif.patch(texts, BASE)


def test_an_edit_that_matches_nothing_fails() -> None:
    texts = dist() | {"app.bundle.css": "body { color: red }"}
    with pytest.raises(ohif.Mismatch, match="stands there 0 times, not 5"):
        ohif.patch(texts, BASE)


def test_a_file_that_nobody_knew_of_fails() -> None:
    with pytest.raises(ohif.Mismatch, match=r"new\.bundle\.js would load its parts from the root"):
        ohif.patch(dist() | {"new.bundle.js": ohif.PUBLIC_PATH}, BASE)


def test_a_file_that_is_gone_fails() -> None:
    texts = dist()
    del texts["polySeg.bundle.0a1b.js"]
    with pytest.raises(ohif.Mismatch, match="should be one file, but it is none"):
        ohif.patch(texts, BASE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("89.bundle.b327bf3664812958.js", True),
        ("37fa160cc3a47cfd.wasm", True),
        ("assets/images/CT-Bone.png", True),
        ("assets/favicon.ico", False),
        ("ort/esm/ort.js", False),
        ("5731.bundle.694bce33e168bf29.js", False),
        ("sw.js", False),
        ("index.html", False),
    ],
)
def test_only_what_is_used_is_kept(name: str, wanted: bool) -> None:
    assert ohif.wanted(name) is wanted


def test_another_package_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "ohif-app-3.13.2.tgz"
    package.write_bytes(b"not the package")
    with pytest.raises(ohif.Mismatch, match="its digest differs"):
        ohif.check(package)


def test_the_page_has_no_inline_script_and_stays_on_this_host() -> None:
    page = ohif.fill("index.html", base=BASE, bundle="app.bundle.0a1b.js")
    assert f'<script defer src="{BASE}app.bundle.0a1b.js"></script>' in page
    assert not re.search(r"<script[^>]*>[^<]", page)
    assert "//" not in page


def test_the_configuration_asks_only_our_door() -> None:
    config = ohif.fill("app-config.js", base=BASE)
    assert f'window.PUBLIC_URL = "{BASE}";' in config
    assert re.findall(r'Root: "([^"]+)"', config) == ["/dicomweb"] * 3
    assert "http" not in config.replace("httpErrorHandler", "")
