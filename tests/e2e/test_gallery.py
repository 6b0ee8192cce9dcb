"""The app in a browser, before a server that has a hundred thousand series and tells what it is asked."""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import Route as Answering
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kahu.server import pages

pytestmark = pytest.mark.browser

TOTAL = 100_000
PIXEL = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="#888"/></svg>'


def series(number: int) -> dict[str, Any]:
    modality = ("MR", "CT")[number % 2]
    return {
        "uid": f"1.2.{number}",
        "study_uid": f"1.2.3.{number // 4}",
        "patient_id": f"P{number // 8}",
        "patient_name": "DOE^JANE",
        "patient_sex": "F",
        "patient_birth_date": "19700101",
        "study_date": "20240131",
        "study_description": "Head",
        "modality": modality,
        "number": number,
        "description": f"Series {number}",
        "body_part": "HEAD",
        "manufacturer": "",
        "model": "",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
        "sop_class": "MR Image Storage",
        "instances": 20,
        "frames": 20,
        "bytes": 1000,
        "stores": ["archive"],
        "tags": [],
        "available": True,
        "result": None,
        "thumbnail": f"/api/series/1.2.{number}/thumbnail",
        "viewer": None,
    }


TOOL = {
    "name": "brain",
    "version": "1.0.0",
    "title": "Brain extraction",
    "description": "Marks the brain.",
    "licence": "MIT",
    "cite": "",
    "digest": "0" * 64,
    "shipped": True,
    "input": {"modality": ["MR"], "min_slices": 8, "form": "nifti"},
    "parameters": {"properties": {"threshold": {"type": "number", "default": 0.5, "maximum": 1}}},
    "output": {"kind": "segmentation", "title": "Brain", "segments": []},
    "error": "",
}


async def me(_request: Request) -> Response:
    facts = {
        "version": "1",
        "who": "owner",
        "may": ["read", "write", "run", "admin"],
        "stores": 1,
        "series": TOTAL,
        "home_name": "",
    }
    return JSONResponse(facts)


async def listing(request: Request) -> Response:
    asked = request.query_params
    step = len(asked.getlist("modality")) or 2
    if asked.get("q") == "fault":
        return JSONResponse({"error": "the catalogue is locked", "hint": "try again"}, status_code=503)
    total = {"nothing": 0}.get(asked.get("q", ""), TOTAL * step // 2)
    offset, limit = int(asked["offset"]), int(asked["limit"])
    numbers = range(offset, min(total, offset + limit))
    return JSONResponse({"total": total, "series": [series(number * 2 // step) for number in numbers]})


async def facets(_request: Request) -> Response:
    counts = [{"value": "MR", "count": TOTAL // 2}, {"value": "CT", "count": TOTAL // 2}]
    others: dict[str, list[Any]] = {
        name: [] for name in ("body_part", "store", "tag", "manufacturer", "verdict")
    }
    return JSONResponse({"modality": counts, **others})


async def detail(request: Request) -> Response:
    return JSONResponse(series(int(request.path_params["uid"].split(".")[2])) | {"results": []})


async def thumbnail(_request: Request) -> Response:
    return Response(PIXEL, media_type="image/svg+xml")


async def events(_request: Request) -> Response:
    async def hello() -> Any:
        yield "event: hello\ndata: {}\n\n"

    return StreamingResponse(hello(), media_type="text/event-stream")


async def tools(_request: Request) -> Response:
    return JSONResponse([TOOL])


async def nothing(_request: Request) -> Response:
    return JSONResponse([])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with the real pages and a made-up API."""
    routes = [
        Route("/api/me", me),
        Route("/api/series", listing),
        Route("/api/facets", facets),
        Route("/api/events", events),
        Route("/api/tools", tools),
        Route("/api/work", nothing),
        Route("/api/stores", nothing),
        Route("/api/series/{uid}", detail),
        Route("/api/series/{uid}/thumbnail", thumbnail),
        *pages.routes(),
    ]
    if pages.find("app", "index.html") is None:
        pytest.fail("the app has not been built: python frontend/build.py")
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def cards(page: Page) -> Locator:
    """What the gallery has drawn, in order."""
    return page.get_by_role("listbox", name="Series").get_by_role("option")


@pytest.fixture
def gallery(page: Page, url: str) -> Page:
    page.goto(url)
    expect(cards(page).first).to_contain_text("Series 0")
    return page


def test_a_hundred_thousand_series_are_reached_and_few_are_drawn(gallery: Page) -> None:
    expect(gallery.get_by_text("100,000 series")).to_be_visible()
    box = gallery.get_by_role("listbox")
    box.focus()
    gallery.keyboard.press("End")
    expect(cards(gallery).last).to_contain_text(f"Series {TOTAL - 1}")
    assert cards(gallery).count() < 200
    gallery.keyboard.press("Home")
    expect(cards(gallery).first).to_contain_text("Series 0")


def test_the_keyboard_selects(gallery: Page) -> None:
    cards(gallery).first.click()
    toolbar = gallery.get_by_role("toolbar")
    expect(toolbar).to_contain_text("1 selected")
    gallery.keyboard.press("Shift+ArrowRight")
    gallery.keyboard.press("Shift+ArrowRight")
    expect(toolbar).to_contain_text("3 selected")
    gallery.keyboard.press("Space")
    expect(toolbar).to_contain_text("2 selected")
    gallery.keyboard.press("Escape")
    expect(toolbar).to_have_count(0)


def test_the_keyboard_alone_tags(gallery: Page) -> None:
    def tagged(route: Answering) -> None:
        route.fulfill(json=series(1) | {"tags": ["looked at"]})

    gallery.route("**/api/series/1.2.1/tags/looked%20at", tagged)
    for key in ("ArrowRight", "t", *"looked at", "Enter", "Escape"):
        gallery.keyboard.press(key)
    expect(cards(gallery).nth(1)).to_contain_text("looked at")


def test_all_that_match_are_selected_as_far_as_one_can(gallery: Page) -> None:
    gallery.get_by_role("button", name="Select the first 5,000").click()
    expect(gallery.get_by_role("toolbar")).to_contain_text("5,000 selected")


def test_a_range_reaches_over_what_was_never_on_the_screen(gallery: Page) -> None:
    cards(gallery).first.click()
    for _ in range(12):
        gallery.keyboard.press("PageDown")
    current = gallery.get_by_role("listbox").get_attribute("aria-activedescendant") or ""
    index = int(current.removeprefix("card-"))
    assert index > 60
    gallery.keyboard.press("Shift+Home")
    expect(gallery.get_by_role("toolbar")).to_contain_text(f"{index + 1} selected")


def test_a_facet_narrows_and_back_widens(gallery: Page) -> None:
    modalities = gallery.get_by_role("group", name="Modality").get_by_role("checkbox")
    gallery.get_by_role("checkbox", name=re.compile("^CT")).check()
    expect(modalities.nth(1)).to_be_checked()  # it stays below the pointer
    expect(gallery.get_by_text("50,000 series")).to_be_visible()
    assert gallery.url.endswith("?modality=CT")
    gallery.go_back()
    expect(gallery.get_by_text("100,000 series")).to_be_visible()
    expect(gallery.get_by_role("checkbox", name=re.compile("^CT"))).not_to_be_checked()


def test_an_address_opens_what_it_says(page: Page, url: str) -> None:
    page.goto(f"{url}/series/1.2.7?modality=CT")
    expect(page.get_by_role("checkbox", name=re.compile("^CT"))).to_be_checked()
    expect(page.get_by_label("Details").get_by_role("heading", name="Series 7")).to_be_visible()


def test_a_search_without_an_answer_shows_the_way_back(gallery: Page) -> None:
    gallery.keyboard.press("/")
    gallery.keyboard.type("nothing")
    expect(gallery.get_by_role("heading", name="No series match")).to_be_visible()
    gallery.get_by_role("button", name="Clear search and filters").click()
    expect(gallery.get_by_text("100,000 series")).to_be_visible()


def test_an_error_is_said_with_what_to_do(gallery: Page) -> None:
    gallery.keyboard.press("/")
    gallery.keyboard.type("fault")
    expect(gallery.get_by_role("alert")).to_contain_text("The catalogue is locked.")
    expect(gallery.get_by_role("alert")).to_contain_text("Try again.")
    expect(gallery.get_by_text("100,000 series")).to_be_visible()


def test_a_tool_that_does_not_fit_says_why(gallery: Page) -> None:
    cards(gallery).nth(1).click()
    gallery.get_by_role("toolbar").get_by_role("button", name="Run a tool").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text("It works on MR, not on CT.")
    expect(dialog.get_by_role("radio")).to_be_disabled()
    expect(dialog.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_a_parameter_out_of_range_is_refused_before_it_is_sent(gallery: Page) -> None:
    cards(gallery).first.click()
    gallery.keyboard.press("r")
    dialog = gallery.get_by_role("dialog")
    dialog.get_by_label("Threshold").fill("1.5")
    expect(dialog.get_by_role("alert")).to_have_text("At most 1.")
    expect(dialog.get_by_role("button", name="Run on 1 series")).to_be_disabled()


def test_without_a_token_the_sign_in_is_shown(page: Page, url: str) -> None:
    page.route("**/api/me", lambda route: route.fulfill(status=401, json={"error": "sign in", "hint": ""}))
    page.goto(f"{url}/runs")
    expect(page.get_by_role("heading", name="Sign in to Kahu")).to_be_visible()
