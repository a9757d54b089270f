"""What stands before every route: which host, which origin, how large, who, how often; and the headers of answers.

| a request | answer |
|---|---|
| is one of more than MOST at a time | 503 |
| names another host than this server's | 421: a page that rebinds its DNS to this machine |
| comes from another site (Sec-Fetch-Site, Origin) | 403; there is no CORS |
| is larger than [serve] body_kilobytes | 413 |
| takes longer than BODY_SECONDS to arrive | 408 |
| brings a body that is not JSON | 415: forms of other sites need no preflight |
| has no valid token, where tokens are set | 401; the page and /healthz are open, they hold nothing |
| is one question too many in this minute | 429 |
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestration.web.access import Access, Client, Rates
from orchestration.web.errors import Refused, response
from orchestration.web.metrics import Metrics

ASK = "/v1/chat/completions"
OPEN = ("/", "/healthz", "/favicon.ico")
PAGE = "/page/"
BODY_SECONDS = 30.0
MOST = 1_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


class Guard:
    """ASGI middleware. The client that it found is in the scope, under "twohands.client"."""

    def __init__(self, app: ASGIApp, access: Access, rates: Rates, metrics: Metrics, most_bytes: int) -> None:
        self._app, self._access, self._rates, self._metrics, self._most = app, access, rates, metrics, most_bytes
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                private = [] if _is_file(scope["path"]) else [(b"cache-control", b"no-store")]
                message = {**message, "headers": [*message["headers"], *_HEADERS, *private]}
            await send(message)

        self._inside += 1
        try:
            try:
                received = await self._let_in(scope, receive)
            except Refused as error:
                await response(error)(scope, receive, sending)
                return
            await self._app(scope, received, sending)
        finally:
            self._inside -= 1
            self._metrics.took(_route(scope), status, time.perf_counter() - began)

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive:
        """Raises Refused, or returns what the app receives: the whole body, read within its limits."""
        if self._inside > MOST:
            raise Refused(503, "busy", f"{MOST:,} requests are under way. Next: try again in a moment.", retry_after=1)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._access.names(host):
            raise Refused(421, "wrong_host", f"{host!r} is not a name of this server.")
        follows_a_link = scope["method"] == "GET" and headers.get(b"sec-fetch-mode") == "navigate"
        if _foreign(headers, host) and not follows_a_link:
            raise Refused(403, "cross_site", "Other sites' pages may not use this server.")
        scope["twohands.client"] = client = self._client(scope["path"], headers)
        if scope["method"] in ("GET", "HEAD"):
            return receive
        body = await self._body(headers, receive)
        kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise Refused(415, "not_json", f"A body of type {kind or 'none'!r}. Expected: application/json.")
        if scope["path"] == ASK and client is not None:
            self._rates.take(client)
        return _replayed(body, receive)

    def _client(self, path: str, headers: dict[bytes, str]) -> Client | None:
        if path in OPEN or _is_file(path):
            try:
                return self._access.client(headers.get(b"authorization", ""))
            except Refused:
                return None
        return self._access.client(headers.get(b"authorization", ""))

    async def _body(self, headers: dict[bytes, str], receive: Receive) -> bytes:
        announced = headers.get(b"content-length", "0")
        if announced.isdigit() and int(announced) > self._most:
            raise self._too_large()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "disconnected", "The client left.")
                    parts.append(message.get("body", b""))
                    if sum(map(len, parts)) > self._most:
                        raise self._too_large()
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, "timeout", f"The body took longer than {BODY_SECONDS:g} s.") from None

    def _too_large(self) -> Refused:
        return Refused(413, "too_large", f"A body of more than {self._most:,} bytes. Next: send less.")


def _route(scope: Scope) -> str:
    """The route that took a request: FastAPI notes it, for a plain one its path is all there is."""
    if "route" in scope:
        return scope["route"].path
    return scope["path"] if "endpoint" in scope else "other"


def _is_file(path: str) -> bool:
    return path.startswith(PAGE)


def _foreign(headers: dict[bytes, str], host: str) -> bool:
    """Whether a browser says that another origin's page sends this."""
    if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()  # the client leaves
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
