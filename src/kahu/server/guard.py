"""The gate before every door: who is addressed, from where, who asks; and what is written down of it.

In this order: an unknown Host is 421, so that no web page reaches us under a name of its own (DNS
rebinding); a write that another origin's page sent is 403; then the asker's `Grant` is found and put on
`request.state`.
"""

import base64
import binascii
import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kahu.access import OWNER, Grant
from kahu.errors import Forbidden, KahuError, Unauthorized
from kahu.server.answers import refusal
from kahu.settings import Settings

COOKIE = "kahu_session"

log = logging.getLogger("kahu.access")

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# What may be had without saying who one is: no page of these holds a patient's data.
_PUBLIC = re.compile(r"/healthz|/api/session|/(?!api/|dicomweb(/|$)|s/)[^?]*")

_DATA = ("/api/", "/dicomweb", "/s/")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_ALWAYS_OF_DATA = (*_ALWAYS, (b"cache-control", b"private, no-cache"))

# Retrieval of pixels or of whole objects (PS3.18 §10.4): goes to the audit log, as every change does.
_READS_PIXELS = re.compile(
    r"(/s/-)?/dicomweb/studies/[^/]+(/series/[^/]+(/instances/[^/]+)?)?"
    r"(/frames/.+|/rendered|/thumbnail|/bulkdata/.+)?"
    r"|/api/series/[^/]+/thumbnail"
)


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        check: Callable[[str], Grant],
        audit: Callable[[str, str, str], None],
    ) -> None:
        self.app = app
        self.settings = settings
        self.check = check
        self.audit = audit
        self.hosts = _LOOPBACK | {settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)}
        if not settings.loopback:
            self.hosts |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = {name for name, _ in message["headers"]}
                always = _ALWAYS_OF_DATA if scope["path"].startswith(_DATA) else _ALWAYS
                message["headers"] = [*message["headers"], *(one for one in always if one[0] not in said)]
                if status == 401 and "sec-fetch-mode" in headers:
                    # From a page: asked for Basic, a browser would open a window of its own over our sign-in.
                    MutableHeaders(scope=message)["WWW-Authenticate"] = 'Bearer realm="kahu"'
            await send(message)

        grant = Grant(who="nobody")
        try:
            self._addressed(headers)
            self._same_origin(scope["method"], headers)
            grant = self._asker(scope["path"], headers)
        except KahuError as error:
            await refusal(error)(scope, receive, watched)
        else:
            scope.setdefault("state", {})["grant"] = grant
            await self.app(scope, receive, watched)
        finally:
            # WADO-URI names what it reads in its query, so it says it here (PS3.18 §9).
            path = scope.get("state", {}).get("reads", scope["path"])
            self._remember(grant, scope["method"], path, status, time.perf_counter() - began)

    def _addressed(self, headers: Headers) -> None:
        """PS3.18 and HTTP say nothing of strangers' names; RFC 9110 §15.5.20 gives the status."""
        name = host_name(headers.get("host", ""))
        if name in self.hosts or (not self.settings.loopback and _is_address(name)):
            return
        raise Misdirected(
            "this server is not known under that name",
            "use its own address, or start it with --allowed-host NAME",
        )

    def _same_origin(self, method: str, headers: Headers) -> None:
        if method in _SAFE:
            return
        origin = headers.get("origin")
        # scheme://host:port, or "null" (RFC 6454 §6.1)
        foreign = origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise Forbidden("a page of another origin may not write here", "use Kahu's own pages, or a token")

    def _asker(self, path: str, headers: Headers) -> Grant:
        secret = bearer(headers)
        if secret:
            return self.check(secret)
        if self.settings.loopback:
            return OWNER
        if _PUBLIC.fullmatch(path):
            return Grant(who="nobody")
        raise Unauthorized("sign in with a token", "make one on the server with: kahu token add NAME")

    def _remember(self, grant: Grant, method: str, path: str, status: int, seconds: float) -> None:
        path = re.sub(r"^/s/[^/]+", "/s/-", path)
        # quoted as it came: no address begins a line of its own, or makes the log something else than text
        log.info("%s %s %s %d %.0f ms", grant.who, method, quote(path), status, seconds * 1000)
        if status >= 400:
            return
        if method not in _SAFE:
            self.audit(grant.who, method.lower(), path)
        elif _READS_PIXELS.fullmatch(path):
            self.audit(grant.who, "read", path)


class Misdirected(KahuError):
    """The request was meant for someone else (RFC 9110 §15.5.20)."""

    status = 421


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def bearer(headers: Headers) -> str:
    """The token that a request carries: Bearer, the password of Basic (as Slicer sends it), or our cookie."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized("the Authorization header cannot be read") from None
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
