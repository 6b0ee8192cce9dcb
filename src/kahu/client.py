"""The Python client, for notebooks and scripts: `from kahu import Client`.

It speaks HTTP only, so it works from any computer that can reach a Kahu server. Series are named by their
Series Instance UID everywhere.
"""

import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2 as httpx

from kahu import errors
from kahu.errors import KahuError, Unavailable

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from kahu.dicom.segmentation import Segmentation
    from kahu.dicom.volume import Volume

DEFAULT_URL = "http://127.0.0.1:8010"
PAGE = 1000


class RunFailed(KahuError):
    """A run ended without a result for every case."""


class Client:
    """One Kahu server.

    Args:
        url: where it is; default `$KAHU_URL`, else this computer.
        token: made by ``kahu token add``; default `$KAHU_TOKEN`. Not needed where Kahu itself runs.
        timeout: seconds that a single answer may take.
    """

    def __init__(self, url: str = "", token: str = "", *, timeout: float = 60) -> None:
        self.url = (url or os.environ.get("KAHU_URL") or DEFAULT_URL).rstrip("/")
        self.token = token or os.environ.get("KAHU_TOKEN", "")
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer of `GET path`. KahuError of the fitting kind when it is refused."""
        return self._send("GET", path, params={k: v for k, v in params.items() if v != ""}).json()

    def text(self, path: str) -> str:
        """The answer of `GET path` as it is."""
        return self._send("GET", path).text

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of a request that changes something."""
        return self._send(method, path, json=body).json()

    def series(self, q: str = "", **filters: Any) -> "pd.DataFrame":
        """Series as a data frame, one row each, indexed by Series Instance UID.

        Args:
            q: words that must all appear somewhere in what is known of a series.
            filters: modality, body_part, store, tag, verdict, study, patient, sort; `limit` (default: all).
        """
        import pandas as pd

        limit = int(filters.pop("limit", 0))
        rows: list[dict[str, Any]] = []
        while True:
            wanted = min(PAGE, limit - len(rows)) if limit else PAGE
            page = self.get("/api/series", q=q, limit=wanted, offset=len(rows), **filters)
            rows += page["series"]
            if len(page["series"]) < wanted or len(rows) in (limit, page["total"]):
                break
        columns = list(rows[0]) if rows else ["uid", "study_uid", "patient_id", "modality", "description"]
        return pd.DataFrame(rows, columns=columns).set_index("uid")

    def dicom(self, series_uid: str) -> "list[Dataset]":
        """All objects of a series, with their pixels, by WADO-RS (PS3.18 §10.4)."""
        from pydicom import dcmread

        study = self.get(f"/api/series/{quote(series_uid)}")["study_uid"]
        return [dcmread(io.BytesIO(part), force=True) for part in self.objects(study, series_uid)]

    def objects(self, study_uid: str, series_uid: str) -> Iterator[bytes]:
        """The objects of a series as files (PS3.10), one after the other as they arrive."""
        from kahu.dicom.multipart import read_parts

        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        path = f"/dicomweb/studies/{study_uid}/series/{series_uid}"
        with self._http.stream("GET", path, headers={"Accept": accept}) as answer:
            _check(answer)
            for part in read_parts(answer.iter_bytes(), answer.headers["content-type"]):
                yield part.body

    def headers(self, series_uid: str) -> "list[Dataset]":
        """All objects of a series without pixels and other bulk data: its metadata (PS3.18 §10.4.1.1.2)."""
        from pydicom import Dataset

        study = self.get(f"/api/series/{quote(series_uid)}")["study_uid"]
        documents = self.get(f"/dicomweb/studies/{study}/series/{series_uid}/metadata")
        return [Dataset.from_json(one, bulk_data_uri_handler=lambda _uri: b"") for one in documents]

    def volume(self, series_uid: str) -> "Volume":
        """The series as an array `(slices, rows, columns)`, rescaled (CT: Hounsfield units), with its
        geometry in patient space (mm, LPS). KahuError says why a series is no volume."""
        from kahu.dicom.volume import volume_of

        return volume_of(self.dicom(series_uid))

    def segmentation(self, series_uid: str) -> "Segmentation":
        """A DICOM SEG on the grid of the series that it was made from: a mask for each segment, with its
        label and codes. BadRequest: it names no source series."""
        from kahu.dicom.segmentation import read
        from kahu.dicom.volume import grid_of

        (dataset,) = self.dicom(series_uid)
        sources = dataset.get("ReferencedSeriesSequence") or []
        if not sources:
            raise errors.BadRequest("the segmentation names no series that it was made from")
        return read(dataset, grid_of(self.headers(str(sources[0].SeriesInstanceUID))))

    def tools(self) -> "pd.DataFrame":
        """The tools that can be run, indexed by name."""
        import pandas as pd

        rows = self.get("/api/tools")
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["name"]).set_index("name")

    def run(self, tool: str, series: str | Sequence[str], **parameters: Any) -> "Run":
        """Starts a tool on series, one case each. Asking for the same again gives the same run."""
        uids = [series] if isinstance(series, str) else list(series)
        body = {"tool": tool, "series": uids, "parameters": parameters}
        return Run(self, self.request("POST", "/api/runs", body)["id"])

    def runs(self) -> "pd.DataFrame":
        """All runs, newest first, indexed by id."""
        import pandas as pd

        rows = self.get("/api/runs")
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["id"]).set_index("id")

    def tag(self, series_uid: str, label: str) -> None:
        """Puts a tag on a series."""
        self.request("PUT", f"/api/series/{quote(series_uid)}/tags/{quote(label, safe='')}")

    def untag(self, series_uid: str, label: str) -> None:
        """Takes a tag off a series."""
        self.request("DELETE", f"/api/series/{quote(series_uid)}/tags/{quote(label, safe='')}")

    def peers(self) -> "pd.DataFrame":
        """The other applications that are known, indexed by name."""
        import pandas as pd

        rows = self.get("/api/peers")
        columns = list(rows[0]) if rows else ["name", "aet", "host", "port", "tls", "may"]
        return pd.DataFrame(rows, columns=columns).set_index("name")

    def add_peer(
        self,
        name: str,
        aet: str,
        host: str,
        port: int,
        *,
        tls: bool = False,
        may: Sequence[str] = ("query", "retrieve", "store"),
    ) -> None:
        """Makes another application known: by its AE title, where it is, and what it may ask of Kahu."""
        body = {"name": name, "aet": aet, "host": host, "port": port, "tls": tls, "may": list(may)}
        self.request("POST", "/api/peers", body)

    def remove_peer(self, name: str) -> None:
        """Forgets another application."""
        self.request("DELETE", f"/api/peers/{quote(name)}")

    def echo(self, peer: str) -> list[str]:
        """Tests the connection to a peer; what it can do: of echo, find, get, move, store. Unavailable says why it
        does not answer."""
        answer = self.request("POST", f"/api/peers/{quote(peer)}/echo")
        if not answer["ok"]:
            raise Unavailable(answer["error"], answer["hint"])
        can: list[str] = answer["can"]
        return can

    def query(self, peer: str, level: str = "study", limit: int = 500, **keys: str) -> "pd.DataFrame":
        """What a peer has, one row each, by C-FIND.

        Args:
            level: patient, study, series or image.
            keys: attributes by keyword (``PatientID="P-1"``), or by everyday name: name, id, date, modality,
                accession, description, study, series; ``*`` stands for any characters, ``20240101-20240131`` for a
                range.
        """
        import pandas as pd

        body = {"level": level, "keys": keys, "limit": limit}
        return pd.DataFrame(self.request("POST", f"/api/peers/{quote(peer)}/query", body)["rows"])

    def send(self, peer: str, series: str | Sequence[str]) -> "Transfer":
        """Begins to send series to a peer."""
        uids = [series] if isinstance(series, str) else list(series)
        return Transfer(self, self.request("POST", "/api/sends", {"peer": peer, "series": uids})["id"])

    def retrieve(
        self, peer: str, studies: str | Sequence[str], series: str | Sequence[str] = ()
    ) -> "Transfer":
        """Begins to retrieve studies from a peer, by Study Instance UID; or only these series of one study."""
        body = {
            "peer": peer,
            "studies": [studies] if isinstance(studies, str) else list(studies),
            "series": [series] if isinstance(series, str) else list(series),
        }
        return Transfer(self, self.request("POST", "/api/retrievals", body)["id"])

    def delete(self, series_uid: str) -> None:
        """Deletes a series. What lies in Kahu's own store is gone for good; files that Kahu reads in place are
        forgotten and stay as they are."""
        study = self.get(f"/api/series/{quote(series_uid)}")["study_uid"]
        self._send("DELETE", f"/dicomweb/studies/{quote(study)}/series/{quote(series_uid)}")

    def store(self, data: bytes) -> None:
        """Sends a DICOM file (PS3.10) by STOW-RS (PS3.18 §10.5). When this returns, Kahu has it for good."""
        self._send("POST", "/dicomweb/studies", content=data, headers={"Content-Type": "application/dicom"})

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **kwargs)
        except httpx.ConnectError as error:
            hint = "start one with: kahu up; if it is somewhere else, say where: Client(URL), or KAHU_URL"
            raise Unavailable(f"no Kahu answers at {self.url}", hint) from error
        except httpx.TimeoutException as error:
            raise Unavailable(f"Kahu at {self.url} did not answer in time", "try again") from error
        _check(answer)
        return answer


@dataclass(frozen=True)
class Run:
    """A run that was started: one tool on some cases."""

    client: Client
    id: str

    def state(self) -> Mapping[str, Any]:
        """What is known of it now, with its tasks."""
        answer: Mapping[str, Any] = self.client.get(f"/api/runs/{self.id}")
        return answer

    def wait(self, seconds: float = 3600) -> "Run":
        """Returns when every case has its result. RunFailed: one failed, or its result was rejected, and why;
        Unavailable: not done in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if state["state"] in ("done", "failed", "cancelled"):
                self._raise_what_failed(state)
                return self
            time.sleep(0.3)
        raise Unavailable(f"the run is not done after {seconds:g} s", "wait again, or look at the run's page")

    def _raise_what_failed(self, state: Mapping[str, Any]) -> None:
        failed = [task for task in state["tasks"] if _has_failed(task)]
        if not failed:
            return
        message, hint = failed[0]["message"], failed[0]["hint"]
        if len(state["tasks"]) > 1:
            message = f"{len(failed)} of {len(state['tasks'])} cases failed: {message}"
        see = f"see: kahu log {self.id}"
        raise RunFailed(message, f"{hint}; {see}" if hint else see)

    def log(self) -> str:
        """What the programs of its cases have printed: fetching, the tool, delivering."""
        logs = []
        for task in self.state()["tasks"]:
            printed = self.client.text(f"/api/tasks/{task['id']}/log")
            logs.append(f"=== {task['title']}: {task['state']} ===\n{printed}")
        return "\n".join(logs)

    def results(self) -> list[str]:
        """Series Instance UIDs of what it made."""
        return [uid for task in self.state()["tasks"] if task["result"] for uid in task["result"]["series"]]


class TransferFailed(KahuError):
    """Not all objects of a transfer have arrived."""


@dataclass(frozen=True)
class Transfer:
    """Series on their way to a peer, or studies on their way from one."""

    client: Client
    id: str

    def state(self) -> Mapping[str, Any]:
        """What is known of it now: state, progress (0..1), message; when it has ended, its result."""
        answer: Mapping[str, Any] = self.client.get(f"/api/transfers/{self.id}")
        return answer

    def wait(self, seconds: float = 86400) -> "Transfer":
        """Returns when everything has arrived. TransferFailed: something has not, and why; Unavailable: it is not
        done in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if state["state"] == "done":
                return self
            if state["state"] in ("failed", "cancelled"):
                raise TransferFailed(state["message"], state["hint"])
            time.sleep(0.2)
        raise Unavailable(f"the transfer is not done after {seconds:g} s", "wait again, or cancel it")

    def cancel(self) -> None:
        """Ends it within seconds; what has arrived stays there."""
        self.client.request("POST", f"/api/transfers/{self.id}/cancel")

    def retry(self) -> "Transfer":
        """Tries again what has not arrived, of one that failed or was cancelled."""
        self.client.request("POST", f"/api/transfers/{self.id}/retry")
        return self


def _has_failed(task: Mapping[str, Any]) -> bool:
    """Whether a case that has ended gave nothing that is to be seen."""
    rejected = bool(task["result"]) and task["result"]["verdict"] == "rejected"
    return rejected or task["state"] in ("failed", "cancelled")


_KINDS = {
    kind.status: kind
    for kind in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.Forbidden,
        errors.NotFound,
        errors.NotAcceptable,
        errors.Conflict,
        errors.Unsupported,
        errors.RefusedByPeer,
        errors.Unavailable,
        errors.StorageFull,
    )
}


# Failure Reason (0008,1197) of an object that was not stored (PS3.18 annex I.2.2).
_REASONS = {
    0x0110: "it could not be processed",
    0x0111: "another object has its SOP Instance UID; this one is kept aside, see: kahu conflicts",
    0xA700: "the disk is full",
    0xA901: "it is of another study",
    0xC000: "it is no DICOM object that can be read",
}


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    try:
        message, hint = _told(answer.json())
    except (ValueError, LookupError, TypeError):
        message, hint = f"the server answered {answer.status_code}", "is there a Kahu at this address?"
    raise _KINDS.get(answer.status_code, KahuError)(message, hint)


def _told(said: Any) -> tuple[str, str]:
    """What was wrong, and what to do: as Kahu says it, or as STOW-RS does."""
    for failed in (said.get("00081198"), said.get("0008119A")):
        if failed:
            (reason,) = failed["Value"][0]["00081197"]["Value"]
            return f"the object was not stored: {_REASONS.get(reason, f'{reason:#06x}')}", ""
    return said["error"], said.get("hint", "")
