"""Lets requests in: credential, role, scope, CSRF, content type and limits, for every route.

A route without an `Access` lets nobody in.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qs

from fleetkit import context
from fleetkit.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from fleetkit.rpc.identity import acting_as
from litestar import Request, Response
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from gateway.access import JSON_BYTES, Access, access_of
from gateway.auth.principal import Principal
from gateway.auth.tokens import same
from gateway.cookies import cookie_name, read_cookie
from gateway.origins import is_own_page, refuse_other_pages
from gateway.parts import Parts
from gateway.problems import allowed_methods
from gateway.rate_limits import Limit, Standing
from gateway.requests import UNSAFE, Head, network_of

CSRF_FIELD = "csrf_token"
CSRF_HEADER = b"x-csrf-token"
# Set in the scope of a multipart form: the form's reader calls `check_csrf` with the field.
CSRF_PENDING = "csrf_pending"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_MEDIA_TYPES = {
    "json": ("application/json",),
    "form": (_FORM,),
    "upload": ("application/json", _MULTIPART),
    "image": ("image/jpeg", "image/png", "image/webp"),
    "none": (),
}
_BAD_TOKENS = Limit("bad-token", 60, 60)
_LIMITS = {
    "signup": Limit("signup", 30, 60),
    "login": Limit("login", 20, 60),
    "conversation": Limit("conversation", 120, 60),
    "message": Limit("message", 30, 60),
    "frame": Limit("frame", 120, 60),
    "public": Limit("public", 600, 60),
}
_SLOW_BODY_S = 5.0


class Admission:
    """ASGI middleware, inside Litestar's routing: it knows the route and runs before it."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._cookie = cookie_name(parts.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the route's handler, or raises what keeps the request out."""
        access = access_of(scope["route_handler"])
        if access is None:
            await self._without_access(scope, receive, send)
            return
        head = Head(scope)
        principal = await self._principal(access, head)
        if principal is None:
            if not access.anonymous:
                raise Unauthenticated(
                    "sign in, or send an API key as `Authorization: Bearer fd_…`",
                    reason="CREDENTIAL_REQUIRED",
                )
        else:
            access.check(principal)
            await self._check_visit(head, principal, scope)
        _check_media_type(access, head)
        receive = await self._check_forgery(access, head, principal, scope, receive)
        scope["user"] = principal
        async with _time_limit(access), self._bound(access, principal):
            standing = await self._count(access, head, principal)
            if standing is not None:
                send = _with_standing(send, standing)
            await self._app(scope, receive, send)

    async def _without_access(self, scope: Scope, receive: Receive, send: Send) -> None:
        if cast(HTTPScope, scope)["method"] != "OPTIONS":
            raise RuntimeError(f"route {scope.get('path_template')} declares no access")
        # Litestar's own answer names the methods of one handler, not those of the address.
        methods = [*allowed_methods(scope["litestar_app"], scope["path"]), "OPTIONS"]
        answer = Response(None, status_code=204, headers={"Allow": ", ".join(methods)})
        await answer.to_asgi_response(None, Request(scope))(scope, receive, send)

    async def _principal(self, access: Access, head: Head) -> Principal | None:
        token = head.bearer
        if token is not None:
            return await self._bearer(head, token)
        session_token = read_cookie(head.get(b"cookie"), self._cookie)
        if not session_token or access.role is None:
            # Signing in, for example, is the same for whoever is signed in already.
            return None
        if access.cross_origin and access.anonymous and not head.get(CSRF_HEADER):
            # The widget on our own page: the browser adds the cookie, nobody is meant by it.
            return None
        return await self._parts.authenticator.session(session_token)

    async def _bearer(self, head: Head, token: str) -> Principal:
        """Guessing is slow: after too many wrong tokens an address waits before any look-up."""
        network = network_of(head.client_ip)
        self._parts.limiter.check(_BAD_TOKENS, network)
        try:
            return await self._parts.authenticator.bearer(token)
        except Unauthenticated:
            self._parts.limiter.hit(_BAD_TOKENS, network)
            raise

    async def _check_forgery(
        self,
        access: Access,
        head: Head,
        principal: Principal | None,
        scope: Scope,
        receive: Receive,
    ) -> Receive:
        """Refuses what another site's page makes a browser send; may read a form's body."""
        if head.method not in UNSAFE:
            return receive
        if principal is None:
            if not access.cross_origin:
                refuse_other_pages(self._parts.settings, head)
            return receive
        if principal.credential != "session":
            return receive
        if not is_own_page(self._parts.settings, head):
            raise PermissionDenied("another site's page asks", reason="CROSS_ORIGIN")
        if header := head.get(CSRF_HEADER):
            check_csrf(principal, header)
        elif head.media_type == _MULTIPART and access.body == "upload":
            scope["state"][CSRF_PENDING] = True
        elif head.media_type == _FORM:
            body = await _read(receive)
            check_csrf(principal, _field(body, CSRF_FIELD))
            return _replay(body, receive)
        else:
            check_csrf(principal, "")
        return receive

    async def _check_visit(self, head: Head, principal: Principal, scope: Scope) -> None:
        """A visitor reaches its own conversation only, from pages where its widget may stand."""
        if principal.credential != "visitor":
            return
        wanted = scope["path_params"].get("conversation_id")
        if wanted is not None and wanted != principal.identity.conversation_id:
            raise NotFound("there is no such conversation", field="conversation_id")
        origin = head.get(b"origin")
        if origin and principal.agent_id and not is_own_page(self._parts.settings, head):
            await self._parts.widgets.check_origin(principal.tenant_id, principal.agent_id, origin)

    async def _count(
        self, access: Access, head: Head, principal: Principal | None
    ) -> Standing | None:
        """Counts API keys by their tenant's plan, others where the route has a limit."""
        limiter = self._parts.limiter
        if principal is not None and principal.credential == "api_key":
            limit = await self._parts.plan_limits.limit_of(principal)
            return limiter.hit(limit, str(principal.tenant_id)) if limit else None
        if access.limit is None or (principal and principal.credential == "session"):
            return None
        key = network_of(head.client_ip)
        if principal is not None:
            key = str(principal.identity.conversation_id)
        return limiter.hit(_LIMITS[access.limit], key)

    @asynccontextmanager
    async def _bound(self, access: Access, principal: Principal | None) -> AsyncIterator[None]:
        """Makes calls to services carry who asks, and the deadline.

        A local route binds nobody: a call that it should not make would be refused.
        """
        if principal is None or access.local:
            with context.deadline_in(access.timeout_s):
                yield
            return
        with acting_as(self._parts.keyring, principal.identity, access.timeout_s):
            yield


def check_csrf(principal: Principal, token: str) -> None:
    """Raises PermissionDenied unless the token is that of the session."""
    if not token:
        raise PermissionDenied(
            "the CSRF token is missing: send the header X-CSRF-Token (see GET /v1/me) or the form "
            "field csrf_token",
            reason="CSRF_TOKEN_MISSING",
        )
    if not same(principal.csrf_token, token):
        raise PermissionDenied(
            "the CSRF token is not that of this session: reload the page",
            reason="CSRF_TOKEN_WRONG",
        )


def _check_media_type(access: Access, head: Head) -> None:
    if head.method not in UNSAFE or not head.has_body:
        return
    wanted = _MEDIA_TYPES[access.body]
    if wanted and head.media_type not in wanted:
        raise InvalidArgument(
            f"the body is {head.media_type[:60] or 'of no type'}: send Content-Type "
            + " or ".join(wanted),
            reason="UNSUPPORTED_MEDIA_TYPE",
        )


@asynccontextmanager
async def _time_limit(access: Access) -> AsyncIterator[None]:
    """Ends a request that takes longer than it may, a slow sender's too."""
    if access.stream:
        yield
        return
    limit = asyncio.timeout(access.timeout_s + _SLOW_BODY_S)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded("the request took too long: try again") from error


async def _read(receive: Receive) -> bytes:
    """A form's whole body; ResourceExhausted when it is larger than a form may be."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidArgument("the body ended early", reason="BODY_INCOMPLETE")
        body += message["body"]
        if len(body) > JSON_BYTES:
            raise ResourceExhausted("the form is too large", reason="BODY_TOO_LARGE")
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then goes on with the connection."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _field(body: bytes, name: str) -> str:
    try:
        fields = parse_qs(body.decode(), max_num_fields=200)
    except ValueError:
        return ""
    return fields.get(name, [""])[0]


def _with_standing(send: Send, standing: Standing) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *standing.headers()]
        await send(message)

    return sending
