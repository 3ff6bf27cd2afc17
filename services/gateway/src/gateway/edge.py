"""The outermost layer around the app: trace, limits of the head, security headers, CORS, log.

It sees every request, also those for which there is no route.
"""

import asyncio
import re
import time
from functools import cache
from typing import Any, cast
from urllib.parse import unquote_plus

import msgspec
from fleetkit import context
from fleetkit.context import CallContext
from fleetkit.logging import get_logger
from fleetkit.telemetry import Span, histogram, new_span
from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Histogram

from gateway.config import GatewaySettings
from gateway.origins import is_wellformed
from gateway.problems import MEDIA_TYPE, ORIGIN_REFUSED, FieldError, Problem
from gateway.requests import Head

MAX_QUERY_BYTES = 8 * 1024
MAX_PATH_BYTES = 2 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100

# What the widget may be told on another site's page. No cookie is ever meant: credentials are
# not allowed, so a page learns nothing that its own visitor token does not give it.
_WIDGET_PATHS = re.compile(r"/v1/(?:conversations(?:/.*)?|agents/[0-9a-fA-F-]{36}/public)")
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, accept, idempotency-key, last-event-id",
    ),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]
_EXPOSED = b"retry-after, ratelimit, ratelimit-policy"
_API_CSP = b"default-src 'none'; frame-ancestors 'none'"
_PAGE_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(self), geolocation=(), payment=()"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
# What comes of a refused body is thrown away for a moment after the answer: closing at once would
# reset the connection, and a client that is still sending would never see why.
_LINGER_S = 3.0
_LINGER_BYTES = 128 * 1024 * 1024
_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 60.0)


@cache
def _http_seconds() -> Histogram:
    return histogram(
        "fleetdesk_http_seconds",
        "Duration of HTTP requests in seconds, streams included.",
        ("method", "route", "status"),
        buckets=_BUCKETS_S,
    )


class Edge:
    """ASGI app around the Litestar app."""

    def __init__(self, app: Litestar, settings: GatewaySettings) -> None:
        self._app: ASGIApp = app
        self._headers = [*_ALWAYS, _HSTS] if settings.secure_cookies else list(_ALWAYS)
        self._host = _host_of(settings.public_url) if settings.environment == "production" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection; anything but HTTP (lifespan) goes through as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = new_span()
        context.bind(CallContext(span=span))
        exchange = _Exchange(scope, receive, send, self._headers)
        try:
            refusal = self._refusal(scope, exchange.head)
            if refusal is not None:
                await exchange.refuse(refusal)
            elif exchange.is_preflight:
                await exchange.answer_preflight()
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            # The last handler: Litestar answers every exception, and this one came when the
            # answer had begun.
            context.bind(CallContext(span=span))
            get_logger().error("response_broke_off", exc_info=error)
            raise
        finally:
            self._report(scope, span, exchange)

    def _refusal(self, scope: Any, head: Head) -> Problem | None:
        """Why the head of a request is refused; None when it is fine."""
        headers = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            detail = f"at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them"
            return Problem(431, "HEADERS_TOO_LARGE", detail)
        for part, most in (("path", MAX_PATH_BYTES), ("query_string", MAX_QUERY_BYTES)):
            if len(scope[part]) > most:
                detail = f"the {part.partition('_')[0]} has at most {most} bytes: shorten it"
                return _about(part.partition("_")[0], 414, "URL_TOO_LONG", detail)
        if self._host is not None and head.get(b"host").lower() != self._host:
            return Problem(421, "WRONG_HOST", f"this is {self._host}")
        if (field := _with_nul(scope)) is not None:
            detail = f"{field} holds a NUL character: leave it out"
            return _about(field, 400, "INVALID_ARGUMENT", detail)
        return None

    def _report(self, scope: Any, span: Span, exchange: "_Exchange") -> None:
        route = scope.get("path_template") or "none"
        seconds = time.monotonic() - exchange.started
        _http_seconds().labels(scope["method"], route, str(exchange.status)).observe(seconds)
        principal = scope.get("user")
        tenant = principal.tenant_id if principal is not None else None
        with context.bound(CallContext(tenant_id=tenant, span=span)):
            get_logger().info(
                "http_served",
                method=scope["method"],
                route=route,
                status=exchange.status,
                duration_ms=round(seconds * 1000, 2),
            )


class _Exchange:
    """One request and its response."""

    def __init__(
        self, scope: Any, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.head = Head(scope)
        self._scope = scope
        self.started = time.monotonic()
        self.status = 0
        self._receive = receive
        self._send = send
        self._headers = headers
        self._unread = self.head.has_body
        self._gone = False
        self._cors = bool(_WIDGET_PATHS.fullmatch(scope["path"])) and is_wellformed(
            self.head.get(b"origin")
        )

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if the widget may ask."""
        head = self.head
        wanted = head.method == "OPTIONS" and head.get(b"access-control-request-method")
        return self._cors and bool(wanted)

    async def answer_preflight(self) -> None:
        """Yes, without credentials: whether the origin is allowed is decided with the request."""
        await self.send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, problem: Problem) -> None:
        """Answers with a problem before there is a route."""
        body = msgspec.json.encode(problem.document())
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        start: Any = {
            "type": "http.response.start",
            "status": problem.status,
            "headers": headers,
        }
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def receive(self) -> Any:
        """The app's `receive`; knows when the body has been read."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
        elif not message.get("more_body"):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """The app's `send`; adds headers, and lingers where the body was not read."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(list(message.get("headers", ())))
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last and self._unread and not self._gone:
            await self._send(cast(Message, {**message, "more_body": True}))
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _linger(self) -> None:
        count = 0
        try:
            async with asyncio.timeout(_LINGER_S):
                while self._unread and not self._gone and count < _LINGER_BYTES:
                    count += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return

    def _completed(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name.lower(): value for name, value in headers}
        is_page = given.get(b"content-type", b"").startswith(b"text/html")
        wanted = [
            *self._headers,
            (b"content-security-policy", _PAGE_CSP if is_page else _API_CSP),
            (b"cross-origin-resource-policy", b"cross-origin" if self._cors else b"same-origin"),
            (b"cache-control", b"no-store"),
        ]
        if self._cors and not self._scope.get("state", {}).get(ORIGIN_REFUSED):
            wanted += [
                (b"access-control-allow-origin", self.head.get(b"origin").encode("latin-1")),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            ]
        if self._unread:
            wanted.append((b"connection", b"close"))
        return headers + [pair for pair in wanted if pair[0] not in given]


def _host_of(origin: str | None) -> str | None:
    return origin.partition("://")[2] if origin else None


def _about(field: str, status: int, reason: str, detail: str) -> Problem:
    return Problem(status, reason, detail, (FieldError(field, detail),))


def _with_nul(scope: Any) -> str | None:
    """The part of the address that holds a NUL: a parameter's name, or "path"; None without one."""
    if "\x00" in scope["path"]:
        return "path"
    for pair in scope["query_string"].split(b"&"):
        name, _, value = pair.partition(b"=")
        if b"%00" in name:
            return "query"
        if b"%00" in value:
            return unquote_plus(name.decode("latin-1"))[:60]
    return None
