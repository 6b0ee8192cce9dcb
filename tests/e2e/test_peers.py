"""A person and a PACS: it is added and tested, a study comes from it, a series goes to it, and is deleted here."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kahu.app import Kahu
from kahu.catalog import search
from kahu.catalog.scope import ALL
from kahu.dicom.query import Query
from kahu.server.dimse.listener import Listener
from kahu.settings import Settings
from kahu.testing import samples

pytestmark = pytest.mark.browser


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[Kahu, int]]:
    """A PACS with one study of two slices."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        kahu = Kahu(Settings(home=tmp_path / "pacs", aet="PACS"))
        listener = Listener(kahu.services, listening)
        listener.start()
        for number in (1, 2):
            with closing(kahu.inbox.open()) as arriving:
                arriving.write(samples.encode(samples.instance(number=number, description="Chest")))
                arriving.finish(door="import").result()
        yield kahu, listening.getsockname()[1]
        listener.close()
        kahu.close()


def test_a_pacs_in_the_app(
    page: Page, kahu_up: Callable[..., Any], pacs: tuple[Kahu, int], head: Path
) -> None:
    kahu, port = pacs
    page.goto(f"{kahu_up(head).url}/peers")

    page.get_by_role("button", name="Add a peer").first.click()
    page.get_by_label("Name, as you call it").fill("radiology")
    page.get_by_label("AE title", exact=True).fill("PACS")
    page.get_by_label("Host name or address").fill("127.0.0.1")
    page.get_by_label("Port").fill(str(port))
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("It answers within")).to_be_visible()

    page.get_by_role("button", name="Search", exact=True).click()
    form = page.get_by_role("region", name="Search radiology")
    form.get_by_label("Patient’s name").fill("Kealoha")
    form.get_by_role("button", name="Search", exact=True).click()
    form.get_by_role("button", name="Series of Kealoha, Noa").click()
    expect(form.get_by_text("2 images")).to_be_visible()
    form.get_by_role("button", name="Retrieve the study of Kealoha, Noa").click()
    expect(page.get_by_text("2 objects arrived.")).to_be_visible()
    form.get_by_role("link", name="Show").click()
    gallery = page.get_by_role("listbox", name="Series")
    expect(gallery.get_by_role("option")).to_have_count(1)

    page.goto(page.url.split("?")[0])  # all series: one of the PACS, one of the folder
    expect(gallery.get_by_role("option")).to_have_count(2)
    gallery.press("a")
    gallery.press("s")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send to radiology").click()
    expect(dialog.get_by_text("arrived")).to_be_visible()
    dialog.get_by_role("button", name="Close").last.click()
    with kahu.database.read() as db:
        assert search.count(db, Query("SERIES"), ALL) == 2

    gallery.press("Delete")
    confirm = page.get_by_role("dialog", name="Delete 2 series?")
    expect(confirm.get_by_text("deleted for good")).to_be_visible()
    expect(confirm.get_by_text("no file is touched")).to_be_visible()
    confirm.get_by_role("button", name="Keep").click()
    expect(gallery.get_by_role("option")).to_have_count(2)
    gallery.press("Delete")
    confirm.get_by_role("button", name="Delete 2 series").click()
    expect(page.get_by_text("No images yet")).to_be_visible()
    assert len(list(head.iterdir())) == 10
