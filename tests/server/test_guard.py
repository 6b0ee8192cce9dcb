"""The gate before every door: strangers' names, other origins' writes, askers without a token."""

import base64
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from kahu.access import OWNER, Grant
from kahu.errors import Unauthorized
from kahu.server.guard import Guard
from kahu.settings import Settings

READER = Grant(who="ann", may=frozenset({"read"}))


def check(secret: str) -> Grant:
    if secret == "kahu_good":
        return READER
    raise Unauthorized("the token is not known", "make one")


@pytest.fixture
def audited() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def client(tmp_path: Path, audited: list[tuple[str, str, str]]) -> Callable[..., TestClient]:
    async def who(request: Request) -> Response:
        return PlainTextResponse(request.state.grant.who)

    def make(host: str = "127.0.0.1", allowed: tuple[str, ...] = ()) -> TestClient:
        app = Starlette(routes=[Route("/{path:path}", who, methods=["GET", "POST", "DELETE"])])
        settings = Settings(home=tmp_path, host=host, allowed_hosts=allowed)
        guarded = Guard(app, settings=settings, check=check, audit=lambda *what: audited.append(what))
        return TestClient(guarded, base_url="http://127.0.0.1:8010")

    return make


def test_on_loopback_whoever_asks_is_the_owner(client: Callable[..., TestClient]) -> None:
    assert client().get("/api/me").text == OWNER.who


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://[", "127.0.0.1:8010", "\xff", ""])
def test_what_is_not_our_own_origin_writes_nothing(client: Callable[..., TestClient], origin: str) -> None:
    answer = client().post("/api/runs", headers={b"Origin": origin.encode("latin-1")})
    assert answer.status_code == 403


def test_no_address_writes_a_line_of_its_own_into_the_log(
    client: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("kahu.access").addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, "kahu.access"):
        client().get("/x%0a2026-01-01 INFO made up%00")
    logging.getLogger("kahu.access").removeHandler(caplog.handler)
    (said,) = {record.getMessage() for record in caplog.records}
    assert said.startswith("owner GET /x%0A2026-01-01%20INFO%20made%20up%00 404 ")


def test_a_token_limits_its_bearer_on_loopback_too(client: Callable[..., TestClient]) -> None:
    answer = client().get("/api/me", headers={"Authorization": "Bearer kahu_good"})
    assert answer.text == "ann"


def test_a_wrong_token_is_refused_even_on_loopback(client: Callable[..., TestClient]) -> None:
    answer = client().get("/api/me", headers={"Authorization": "Bearer kahu_bad"})
    assert answer.status_code == 401
    assert answer.json() == {"error": "the token is not known", "hint": "make one"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "kahu.hospital.org"])
def test_an_unknown_host_is_421(client: Callable[..., TestClient], host: str) -> None:
    assert client().get("/api/me", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8010", "127.0.0.1", "[::1]:8010", "LOCALHOST"])
def test_loopback_has_several_names(client: Callable[..., TestClient], host: str) -> None:
    assert client().get("/api/me", headers={"Host": host}).status_code == 200


def test_a_name_can_be_allowed(client: Callable[..., TestClient]) -> None:
    asked = client(allowed=("kahu.hospital.org",)).get("/api/me", headers={"Host": "kahu.hospital.org"})
    assert asked.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_write_from_another_origin_is_403(
    client: Callable[..., TestClient], headers: dict[str, str], audited: list[tuple[str, str, str]]
) -> None:
    assert client().post("/api/runs", headers=headers).status_code == 403
    assert audited == []


def test_our_own_pages_may_write(client: Callable[..., TestClient]) -> None:
    assert client().post("/api/runs", headers={"Origin": "http://127.0.0.1:8010"}).status_code == 200


class TestBeyondLoopback:
    def test_without_a_token_nothing_is_told(self, client: Callable[..., TestClient]) -> None:
        outside = client(host="0.0.0.0")
        for path in ("/api/me", "/api/series", "/dicomweb/studies", "/dicomweb", "/s/abc/dicomweb/studies"):
            answer = outside.get(path)
            assert answer.status_code == 401, path
            assert "Bearer" in answer.headers["WWW-Authenticate"]

    def test_the_pages_themselves_can_be_had(self, client: Callable[..., TestClient]) -> None:
        outside = client(host="0.0.0.0")
        for path in ("/", "/runs/abc", "/ohif/viewer", "/healthz", "/api/session"):
            assert outside.get(path).status_code == 200, path

    def test_a_token_as_bearer_basic_or_cookie(self, client: Callable[..., TestClient]) -> None:
        outside = client(host="0.0.0.0")
        basic = base64.b64encode(b"anyone:kahu_good").decode()
        for headers in (
            {"Authorization": "Bearer kahu_good"},
            {"Authorization": f"Basic {basic}"},
            {"Cookie": "kahu_session=kahu_good"},
        ):
            assert outside.get("/api/me", headers=headers).text == "ann"

    @pytest.mark.parametrize("value", ["Basic ???", "Basic /w==", "Bearer ", "Digest x", "kahu_good"])
    def test_what_cannot_be_read_is_401(self, client: Callable[..., TestClient], value: str) -> None:
        assert client(host="0.0.0.0").get("/api/me", headers={"Authorization": value}).status_code == 401


class TestAudit:
    @pytest.mark.parametrize(
        "path",
        [
            "/dicomweb/studies/1.2",
            "/dicomweb/studies/1.2/series/1.3",
            "/dicomweb/studies/1.2/series/1.3/instances/1.4",
            "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1,2",
            "/dicomweb/studies/1.2/series/1.3/instances/1.4/rendered",
            "/dicomweb/studies/1.2/series/1.3/instances/1.4/bulkdata/7FE00010",
        ],
    )
    def test_pixels_that_are_read(
        self, client: Callable[..., TestClient], audited: list[tuple[str, str, str]], path: str
    ) -> None:
        client().get(path)
        assert audited == [("owner", "read", path)]

    @pytest.mark.parametrize(
        "path",
        [
            "/dicomweb/studies",
            "/dicomweb/studies/1.2/series",
            "/dicomweb/studies/1.2/series/1.3/instances",
            "/dicomweb/studies/1.2/series/1.3/metadata",
            "/api/series",
        ],
    )
    def test_lists_are_not_reads_of_pixels(
        self, client: Callable[..., TestClient], audited: list[tuple[str, str, str]], path: str
    ) -> None:
        client().get(path)
        assert audited == []

    def test_changes(self, client: Callable[..., TestClient], audited: list[tuple[str, str, str]]) -> None:
        client().delete("/api/stores/3", headers={"Authorization": "Bearer kahu_good"})
        assert audited == [("ann", "delete", "/api/stores/3")]


def test_a_page_is_not_asked_for_a_password_by_the_browser(client: Callable[..., TestClient]) -> None:
    from_a_page = {"Sec-Fetch-Mode": "cors"}
    answer = client("0.0.0.0").get("/api/me", headers=from_a_page)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="kahu"'
    assert "Basic" in client("0.0.0.0").get("/api/me").headers["WWW-Authenticate"]
