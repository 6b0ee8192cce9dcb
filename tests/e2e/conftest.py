"""A real browser for the tests that look at pages."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL without a graphics card, and no calls home.
OPTIONS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 60_000
"""milliseconds that a page may take for a step, on a machine that is busy"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. In CI it must be there; elsewhere the test is skipped, and says so.

    Not for the whole session: Playwright keeps an event loop running in the main thread, in nobody's way here.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not playwright_can_run():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no browser that can be driven: sudo apt install chromium libatomic1")
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def playwright_can_run() -> bool:
    """Its Node is linked to a library that Debian does not always have."""
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return sys.platform != "linux"
    return True


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own for each test; an error in it or one that it opens, or a request to elsewhere, fails."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("request", lambda request: faults.append(request.url) if is_elsewhere(request.url) else None)
    yield context.new_page()
    context.close()
    assert faults == []


def is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:"))
