"""What the door says of itself: every address that it names answers."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from kahu.testing import samples

WADL = "{http://wadl.dev.java.net/2009/02}"


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_the_door_describes_itself(archive: Any, method: str) -> None:
    answer = archive.client().request(method, "/dicomweb/")
    assert answer.headers["content-type"] == "application/vnd.sun.wadl+xml"
    resources = ET.fromstring(answer.content).find(f"{WADL}resources")
    assert resources is not None
    assert resources.get("base") == "http://testserver/dicomweb/"
    paths = {one.get("path") for one in resources}
    assert {"studies", "studies/{study}", "wado", "studies/{study}/series/{series}/metadata"} <= paths


def test_every_resource_that_is_named_answers(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    client = archive.client()
    told = client.get("/dicomweb/", headers={"Accept": "application/json"}).json()
    values = {
        "study": ds.StudyInstanceUID,
        "series": ds.SeriesInstanceUID,
        "instance": ds.SOPInstanceUID,
        "frames": "1",
        "path": "7FE00010",
    }
    wado = f"?requestType=WADO&studyUID={values['study']}&seriesUID={values['series']}&objectUID={values['instance']}"
    assert len(told["resources"]) >= 20
    for resource in told["resources"]:
        path = "/dicomweb" + resource["path"].format(**values)
        methods = {one["method"] for one in resource["methods"]}
        allowed = client.options(path)
        assert allowed.status_code == 204, path
        assert methods < set(allowed.headers["allow"].split(", "))
        if "GET" in methods:
            answer = client.get(path + (wado if resource["path"] == "/wado" else ""))
            assert answer.status_code == 200, path
            (get,) = (one for one in resource["methods"] if one["method"] == "GET")
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind == "multipart/related" or kind in " ".join(get["gives"]), path


def test_another_base_describes_itself_so(archive: Any) -> None:
    told = archive.client(base="/s/{token}/dicomweb").get(
        "/s/abc/dicomweb/", headers={"Accept": "application/json"}
    )
    assert told.json()["base"] == "http://testserver/s/abc/dicomweb"
