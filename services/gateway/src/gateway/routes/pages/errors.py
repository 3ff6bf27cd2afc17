"""Errors as pages: what happened, what was kept, what to do."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fleetkit import context
from fleetkit.errors import Unauthenticated
from fleetkit.logging import get_logger
from litestar import Request, Response
from litestar.response import Redirect

from gateway.parts import parts_of
from gateway.problems import Problem, handle, problem_of
from gateway.views.format import sentence as as_sentence

_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A page that says what went wrong; `retry_href` is set when trying again makes sense."""

    status: int
    title: str
    sentence: str
    href: str = "/"
    action: str = "Go to your desk"
    retry_href: str = ""
    trace_id: str = ""


_WORDS = {
    403: ("You may not do this", "Nothing was changed."),
    404: (
        "There is nothing here",
        "It may have been deleted, or it belongs to another company. Nothing was changed.",
    ),
    413: ("That was too large", "Nothing was kept."),
    429: ("That was too fast", "Wait a moment, then try again. Nothing was lost."),
    503: (
        "A service is restarting",
        "This usually takes seconds. What was saved is safe; try again.",
    ),
    504: ("This took too long", "It may have been done or not: look before you try again."),
}
_UNKNOWN = ("Something went wrong on our side", "What was saved is safe. Try again in a moment.")
_SAYS_MORE = frozenset({400, 403, 409, 413, 415, 422})


def page_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's handler of exceptions of pages; whoever is signed out is asked to sign in."""
    if isinstance(error, Unauthenticated):
        return _to_login(request)
    problem = problem_of(error, request)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        get_logger().error("page_failed_unexpectedly", exc_info=error)
    html = parts_of(request).pages.render(
        "errors/error.html", theme="system", error=error_page(request, problem)
    )
    return Response(
        html, status_code=problem.status, media_type=_HTML, headers=dict(problem.headers)
    )


def error_page(request: Request[Any, Any, Any], problem: Problem) -> ErrorPage:
    """A problem in words for people."""
    title, sentence = _WORDS.get(problem.status, _UNKNOWN)
    if problem.status in _SAYS_MORE:
        detail = as_sentence(problem.detail)
        title, sentence = _WORDS.get(problem.status, ("That can’t be done", ""))
        sentence = f"{detail} {sentence}".strip()
    is_ours = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    retry = request.scope["path"] if is_ours and request.method == "GET" else ""
    trace_id = context.current().trace_id if is_ours else ""
    return ErrorPage(problem.status, title, sentence, retry_href=retry, trace_id=trace_id)


def handle_outside(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The app's handler of exceptions: a page for a browser, a problem document for a program."""
    return page_error(request, error) if wants_page(request) else handle(request, error)


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether a person's browser asks, rather than a program."""
    is_api = request.scope["path"].startswith("/v1/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _to_login(request: Request[Any, Any, Any]) -> Response[Any]:
    if request.headers.get("hx-request") == "true":
        return Response(None, status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET":
        return Redirect("/login", status_code=303)
    path = request.scope["path"]
    if query := request.scope["query_string"].decode("latin-1"):
        path += f"?{query}"
    asked = f"?next={quote(path, safe='/')}" if path != "/" else ""
    return Redirect(f"/login{asked}", status_code=303)
