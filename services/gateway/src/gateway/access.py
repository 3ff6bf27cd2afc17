"""Who may use a route: declared on the route itself, enforced by `gateway.admission`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fleetkit.errors import PermissionDenied
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from gateway.auth.principal import SCOPES, Principal, Role
from gateway.problems import MEDIA_TYPE, ProblemDocument

OPTION = "access"
ANY_SCOPE = "any"
JSON_BYTES = 256 * 1024

Method = Literal["GET", "POST", "PUT", "DELETE"]
LimitName = Literal["signup", "login", "conversation", "message", "frame", "public"]
Body = Literal["json", "form", "upload", "image", "none"]


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one route.

    role          lowest role of a person or key; None: neither is accepted
    scope         what an API key must have been given; ANY_SCOPE: nothing special;
                  None: keys are not accepted, only people who are signed in
    visitor       whether a visitor token is accepted (the service checks what it owns)
    anonymous     whether no credential is needed
    cross_origin  whether the widget may ask from other origins
    limit         limit by IP address (for visitors: by conversation)
    body          what the body must be, if there is one; "upload": JSON or a multipart form;
                  "image": a picture
    timeout_s     time for the whole request, passed on as the deadline of every call
    stream        the response may take longer: it ends by itself
    local         answered from the gateway's own rows: calls no service
    """

    role: Role | None = None
    scope: str | None = None
    visitor: bool = False
    anonymous: bool = False
    cross_origin: bool = False
    limit: LimitName | None = None
    body: Body = "json"
    timeout_s: float = 15.0
    stream: bool = False
    local: bool = False

    def __post_init__(self) -> None:
        if self.scope not in (None, ANY_SCOPE, *SCOPES):
            raise ValueError(f"there is no scope {self.scope!r}")
        if not (self.role or self.visitor or self.anonymous):
            raise ValueError("nobody could use this route")

    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied unless the rules let `principal` in."""
        if principal.credential == "visitor":
            if not self.visitor:
                raise PermissionDenied("visitors may not do this", reason="VISITOR_NOT_ALLOWED")
            return
        if self.role is None:
            if not self.anonymous:
                raise PermissionDenied("only visitors may do this", reason="VISITORS_ONLY")
            return
        if principal.credential == "api_key" and self.scope is None:
            raise PermissionDenied(
                "API keys may not do this: sign in", reason="API_KEY_NOT_ALLOWED"
            )
        if principal.role is None or principal.role < self.role:
            raise PermissionDenied(
                f"this needs the role {self.role.label} or above", reason="ROLE_TOO_LOW"
            )
        self._check_scope(principal)

    def _check_scope(self, principal: Principal) -> None:
        if principal.credential != "api_key" or self.scope == ANY_SCOPE:
            return
        if self.scope is not None and not principal.has_scope(self.scope):
            raise PermissionDenied(
                f"this API key lacks the scope {self.scope}", reason="SCOPE_MISSING"
            )

    def security(self) -> list[dict[str, list[str]]]:
        """The same as OpenAPI security requirements."""
        ways: list[dict[str, list[str]]] = []
        if self.role is not None and self.scope is not None:
            ways.append({"apiKey": [] if self.scope == ANY_SCOPE else [self.scope]})
        if self.role is not None:
            ways.append({"session": []})
        if self.visitor:
            ways.append({"visitorToken": []})
        if self.anonymous:
            ways.append({})
        return ways


def endpoint(
    method: Method,
    path: str,
    access: Access,
    *,
    status_code: int = 200,
    max_body_bytes: int = JSON_BYTES,
    responses: Mapping[int, ResponseSpec] | None = None,
    documented: bool = True,
    **options: Any,
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Declares a route: what Litestar's decorators do, and who may use it.

    `options` are Litestar's. Routes that are not of the API (pages, assets) say
    `documented=False`.
    """
    return HTTPRouteHandler(
        path,
        http_method=method,
        opt={OPTION: access},
        status_code=status_code,
        request_max_body_size=max_body_bytes,
        security=access.security(),
        responses={**_problems(method, path, access), **(responses or {})} if documented else None,
        include_in_schema=documented,
        **options,
    )


def access_of(handler: Any) -> Access | None:
    """The declaration of a route's handler; None when it has none."""
    return handler.opt.get(OPTION)


def _problems(method: Method, path: str, access: Access) -> dict[int, ResponseSpec]:
    # A credential may be sent where none is needed, and is refused there too when it is wrong.
    statuses = {
        400: "The request is wrong.",
        401: "No credential, or one that is not accepted.",
        403: "Not allowed.",
        414: "The address is too long.",
        429: "A limit is reached.",
        431: "The headers are too long.",
        500: "Our mistake.",
    }
    if "{" in path or not access.local:
        statuses[404] = "Not found."
    if not access.local:
        statuses |= {
            503: "A service is away: try again.",
            504: "It took too long: try again.",
        }
    if method != "GET" or not access.local:
        statuses[409] = "The state does not allow it."
    if method in ("POST", "PUT") and access.body != "none":
        statuses |= {413: "The body is too large.", 415: "The body is of another type."}
    if method == "POST":
        statuses[422] = "The Idempotency-Key came with another body before."
    if method == "PUT":
        statuses[412] = "It was changed meanwhile: read it again."
    return {
        status: ResponseSpec(
            ProblemDocument,
            generate_examples=False,
            description=description,
            media_type=MEDIA_TYPE,
        )
        for status, description in sorted(statuses.items())
    }
