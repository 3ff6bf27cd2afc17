"""What every page's route uses: who may see it, the frame around it, sentences after a change."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import unquote

from litestar import Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gateway.access import Access, Method, endpoint
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.errors import page_error
from gateway.views.frame import NAV, Frame, Notice, Theme, Tone

HTML = "text/html"
SIGNED_IN = Access(role=Role.VIEWER, body="form")
EDITS = Access(role=Role.AGENT, body="form", timeout_s=30)
ADMINS = Access(role=Role.ADMIN, body="form")
ANYONE = Access(anonymous=True, body="form")
THEME_COOKIE = "fleetdesk_theme"
_NOTICE_COOKIE = "fleetdesk_notice"
_NOTICE_S = 60
_NOTICE_CHARS = 300
_YEAR_S = 365 * 24 * 3600


def page(
    method: Method, path: str, access: Access = SIGNED_IN, **options: Any
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Declares a page's route: its errors are pages, too."""
    return endpoint(
        method,
        path,
        access,
        documented=False,
        exception_handlers={Exception: page_error, HTTPException: page_error},
        **options,
    )


def show(
    request: GatewayRequest,
    entry: str,
    template: str,
    *,
    status_code: int = 200,
    query: str = "",
    **context: Any,
) -> Response[str]:
    """A page of the signed-in person; `entry` is its name in the rail."""
    principal = request.user
    notices = _notices(request)
    frame = Frame(
        page=entry,
        tenant_name=principal.company,
        user_email=principal.email,
        role=principal.role.label if principal.role else "",
        csrf_token=principal.csrf_token,
        path=path_of(request),
        theme=theme_of(request),
        query=query,
        notices=notices,
        nav=tuple(item for item in NAV if principal.role and principal.role >= item.min_role),
    )
    response = render(request, template, status_code=status_code, frame=frame, **context)
    if notices:
        response.delete_cookie(_NOTICE_COOKIE)
    return response


def render(
    request: GatewayRequest, template: str, *, status_code: int = 200, **context: Any
) -> Response[str]:
    """A page, or a part of one, as a response."""
    html = parts_of(request).pages.render(template, **context)
    return Response(html, status_code=status_code, media_type=HTML)


def show_plain(
    request: GatewayRequest, template: str, *, status_code: int = 200, **context: Any
) -> Response[str]:
    """A page without the frame: for signing in."""
    theme = theme_of(request)
    return render(request, template, status_code=status_code, theme=theme, **context)


def go(path: str, text: str = "", tone: Tone = "good") -> Redirect:
    """Sends the browser to another page of ours, where `text` is said once."""
    cookies = [_notice_cookie(text, tone)] if text else []
    return Redirect(path, status_code=303, cookies=cookies)


def theme_of(request: GatewayRequest) -> Theme:
    """The theme chosen in this browser; the system's otherwise."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in get_args(Theme) else "system"  # pyright: ignore[reportReturnType]


def theme_cookie(theme: str) -> Cookie:
    """Remembers a theme; "system" forgets it."""
    age = 0 if theme == "system" else _YEAR_S
    return Cookie(THEME_COOKIE, value=theme, max_age=age, path="/", httponly=True, samesite="lax")


def path_of(request: GatewayRequest) -> str:
    """The path and query that were asked for."""
    query = request.scope["query_string"].decode("latin-1")
    return request.scope["path"] + (f"?{query}" if query else "")


def own_path(path: str) -> str:
    """A path of ours to go on to; "/" for anything that could lead elsewhere."""
    plain = unquote(path)
    is_own = plain.startswith("/") and not plain.startswith(("//", "/\\"))
    return path if is_own and plain.isprintable() else "/"


def is_partial(request: GatewayRequest) -> bool:
    """Whether htmx asks for a part of the page, rather than a person for the page."""
    return request.headers.get("hx-request") == "true"


def _notice_cookie(text: str, tone: Tone) -> Cookie:
    packed = json.dumps([tone, text[:_NOTICE_CHARS]]).encode()
    value = urlsafe_b64encode(packed).decode()
    return Cookie(
        _NOTICE_COOKIE,
        value=value,
        max_age=_NOTICE_S,
        path="/",
        httponly=True,
        samesite="lax",
    )


def _notices(request: GatewayRequest) -> tuple[Notice, ...]:
    """What the page before left to be said; parts of pages leave it for the whole."""
    value = request.cookies.get(_NOTICE_COOKIE, "")
    if not value or is_partial(request):
        return ()
    try:
        tone, text = json.loads(urlsafe_b64decode(value))
    except (ValueError, TypeError, RecursionError):
        # Not one of ours.
        return ()
    return (Notice(str(text), tone if tone in get_args(Tone) else "info"),)
