"""Errors as RFC 9457 problem documents: the only place where errors become HTTP."""

import math
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from fleetkit import context, errors
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from litestar import Litestar, Request, Response
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ExceptionHandlersMap

from gateway.rate_limits import TooManyRequests

MEDIA_TYPE = "application/problem+json"
# Set in the scope: the page that asked may not read the answer either.
ORIGIN_REFUSED = "origin_refused"
_TYPE = "urn:fleetdesk:problem:"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_STATUS_OF: dict[type[FleetError], int] = {
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.InvalidArgument: 400,
    errors.FailedPrecondition: 409,
    errors.PermissionDenied: 403,
    errors.Unauthenticated: 401,
    errors.ResourceExhausted: 429,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}
# Where a reason says more than its class does.
_STATUS_OF_REASON = {
    "BODY_TOO_LARGE": 413,
    "TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "REQUEST_ID_REUSED": 422,
    "REVISION_MISMATCH": 412,
    "HEADERS_TOO_LARGE": 431,
    "URL_TOO_LONG": 414,
    "TURN_FAILED": 502,
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, and what would be right."""

    field: str
    message: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457). `reason` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    trace_id: str
    errors: list[FieldError] = []


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem before it is sent."""

    status: int
    reason: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=())

    def document(self) -> ProblemDocument:
        """The document, with the trace id of the request at hand."""
        return ProblemDocument(
            type=_TYPE + self.reason.lower().replace("_", "-"),
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            reason=self.reason,
            trace_id=context.current().trace_id,
            errors=list(self.errors),
        )

    def response(self) -> Response[bytes]:
        """The HTTP response that carries it."""
        return Response(
            msgspec.json.encode(self.document()),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers=dict(self.headers),
        )


def problem_of(error: Exception, request: Request[Any, Any, Any] | None = None) -> Problem:
    """What to tell the client of an error; what nobody foresaw is said with a trace id only."""
    if isinstance(error, FleetError) and type(error) is not FleetError:
        return _of_fleet_error(error)
    if isinstance(error, ValidationException):
        return _of_validation(error, request)
    if isinstance(error, MethodNotAllowedException) and request is not None:
        return _of_wrong_method(request)
    if isinstance(error, NotFoundException):
        return Problem(404, "ROUTE_NOT_FOUND", "there is nothing at this address")
    if isinstance(error, RequestEntityTooLarge):
        return _of_large_body(request)
    if isinstance(error, InternalServerException) and "disconnected" in error.detail:
        # Said to nobody: the client left while it was still sending.
        return Problem(400, "BODY_INCOMPLETE", "the body ended early")
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_client_error(error)
    trace_id = context.current().trace_id
    return Problem(500, "INTERNAL", f"something went wrong here, not with you; trace {trace_id}")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler of every exception; logs once what nobody foresaw."""
    problem = problem_of(error, request)
    if problem.reason == "ORIGIN_NOT_ALLOWED":
        request.scope["state"][ORIGIN_REFUSED] = True
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        get_logger().error("request_failed_unexpectedly", exc_info=error)
    return problem.response()


HANDLERS: ExceptionHandlersMap = {Exception: handle, HTTPException: handle}


def _of_fleet_error(error: FleetError) -> Problem:
    classes = (_STATUS_OF[cls] for cls in type(error).__mro__ if cls in _STATUS_OF)
    status = _STATUS_OF_REASON.get(error.reason) or next(classes)
    headers: list[tuple[str, str]] = []
    if error.retry_after_s is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after_s)))))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", 'Bearer realm="fleetdesk"'))
    if isinstance(error, TooManyRequests):
        headers += [(name.decode(), value.decode()) for name, value in error.standing.headers()]
    fields = (FieldError(error.field, error.message),) if error.field else ()
    return Problem(status, error.reason, error.message, fields, tuple(headers))


def _of_validation(error: ValidationException, request: Request[Any, Any, Any] | None) -> Problem:
    entries: Any = error.extra if isinstance(error.extra, list) else []
    if any(entry.get("message") == "'data'" for entry in entries if isinstance(entry, dict)):
        return Problem(400, "MALFORMED_JSON", "the body is missing: send JSON")
    found = tuple(
        FieldError(_field_name(entry, request), str(entry.get("message", "")))
        for entry in entries
        if isinstance(entry, dict)
    )
    if missing := re.match(r"Missing required \w+ parameter '([^']+)'", error.detail):
        name, what = missing[1], "it is missing: say what you want"
        return Problem(400, "INVALID_ARGUMENT", f"{name}: {what}", (FieldError(name, what),))
    if not found:
        return Problem(400, "INVALID_ARGUMENT", error.detail)
    detail = "; ".join(f"{entry.field}: {entry.message}" for entry in found)
    return Problem(400, "INVALID_ARGUMENT", detail, found)


def _field_name(entry: dict[str, Any], request: Request[Any, Any, Any] | None) -> str:
    key = str(entry.get("key") or "")
    if entry.get("source") != "body" and request is not None:
        return _public_name(request, key)
    if key and key != "data":
        return key.removeprefix("data.")
    return named_field(str(entry.get("message", "")))


def _public_name(request: Request[Any, Any, Any], parameter: str) -> str:
    """The name that a parameter of the handler has in the request: `start` → "from"."""
    found = request.route_handler.parsed_fn_signature.parameters.get(parameter)
    name = getattr(found.kwarg_definition, "name", None) if found else None
    return name or parameter


def named_field(message: str) -> str:
    """The field that msgspec's message is about: "… field `x`", "… - at `$.config.name`"."""
    at = re.search(r"at `\$\.?([^`]+)`", message)
    if at:
        return at[1]
    named = re.search(r"field `([^`]+)`", message)
    return named[1] if named else "body"


def allowed_methods(app: Litestar, path: str) -> list[str]:
    """The methods that the address has."""
    allowed: list[str] = []
    for method in _METHODS:
        try:
            app.asgi_router.handle_routing(path=path.rstrip("/") or "/", method=method)
        except (MethodNotAllowedException, NotFoundException):
            continue
        allowed.append(method)
    return allowed


def _of_wrong_method(request: Request[Any, Any, Any]) -> Problem:
    allowed = allowed_methods(request.app, request.scope["path"])
    detail = f"{request.method} is not possible here: use {' or '.join(allowed)}"
    return Problem(405, "METHOD_NOT_ALLOWED", detail, headers=(("Allow", ", ".join(allowed)),))


def _of_large_body(request: Request[Any, Any, Any] | None) -> Problem:
    limit = request.route_handler.resolve_request_max_body_size() if request else None
    allowed = f"at most {limit:,} bytes" if limit else "less"
    return Problem(413, "BODY_TOO_LARGE", f"the body is too large: send {allowed}")


def _of_client_error(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    reason = status.phrase.upper().replace(" ", "_").replace("-", "_")
    return Problem(status, reason, error.detail)
