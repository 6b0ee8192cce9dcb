"""The app and the viewer reach the browser: whole, packed, cached, and with the rules that keep them safe."""

import gzip
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from kahu.server import pages

SCRIPT = b"console.log('kahu')"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    for folder in ("app/assets", "ohif/3.13.2-0123abcd"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "app/index.html").write_text("<title>Kahu</title>")
    (tmp_path / "app/assets/index-0a1b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "ohif/index.html").write_text("<title>viewer</title>")
    (tmp_path / "ohif/3.13.2-0123abcd/codec.wasm.gz").write_bytes(gzip.compress(b"\0asm"))
    (tmp_path / "secret.txt").write_text("not for the web")
    monkeypatch.setattr(pages, "STATIC", tmp_path)
    return TestClient(Starlette(routes=pages.routes()))


@pytest.mark.parametrize("path", ["/", "/series/1.2.3", "/runs", "/runs/abc", "/tools", "/stores", "/peers"])
def test_the_app_answers_on_each_of_its_paths(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text == "<title>Kahu</title>"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_other_paths_are_not_found(client: TestClient) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.get("/assets/index-ffff.js").status_code == 404
    assert client.get("/ohif/3.13.2-0123abcd/none.js").status_code == 404


def test_the_viewer_answers_on_its_own_paths(client: TestClient) -> None:
    for path in ("/ohif", "/ohif/", "/ohif/viewer?StudyInstanceUIDs=1.2.3"):
        assert client.get(path).text == "<title>viewer</title>"


def test_packed_files_are_sent_packed_to_those_who_take_it(client: TestClient) -> None:
    packed = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == SCRIPT
    plain = client.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == SCRIPT
    assert plain.headers["content-type"].startswith("text/javascript")
    assert plain.headers["vary"] == "Accept-Encoding"
    assert client.get("/ohif/3.13.2-0123abcd/codec.wasm").headers["content-type"] == "application/wasm"


def test_pages_are_asked_for_again_and_assets_are_not(client: TestClient) -> None:
    assert client.get("/").headers["cache-control"] == "no-cache"
    assert client.get("/ohif/viewer").headers["cache-control"] == "no-cache"
    assert "immutable" in client.get("/assets/index-0a1b.js").headers["cache-control"]
    assert "immutable" in client.get("/ohif/3.13.2-0123abcd/codec.wasm").headers["cache-control"]


def test_what_the_browser_has_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/assets/../../secret.txt", "/assets/%2e%2e/%2e%2e/secret.txt", "/ohif/..%2fsecret.txt", "/assets/%00"],
)
def test_nothing_outside_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "not for the web" not in answer.text


def test_the_app_may_run_no_inline_script(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_viewer_is_isolated(client: TestClient) -> None:
    headers = client.get("/ohif/viewer").headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert "'unsafe-inline'" not in headers["content-security-policy"].split("style-src")[0]


def test_a_copy_without_the_app_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STATIC", tmp_path)
    answer = TestClient(Starlette(routes=pages.routes())).get("/")
    assert answer.status_code == 503
    assert "python frontend/build.py" in answer.text
