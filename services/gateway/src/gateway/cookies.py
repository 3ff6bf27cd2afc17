"""The session cookie."""

from http.cookies import CookieError, SimpleCookie

from litestar.datastructures import Cookie

from gateway.auth.authenticator import SESSION_LIFETIME
from gateway.config import GatewaySettings

_MAX_CHARS = 8192


def cookie_name(settings: GatewaySettings) -> str:
    """`__Host-` where HTTPS is certain: then no other host or path can set it."""
    return "__Host-fleetdesk_session" if settings.secure_cookies else "fleetdesk_session"


def session_cookie(settings: GatewaySettings, token: str) -> Cookie:
    """The cookie of a new session; scripts can't read it, other sites' posts don't send it."""
    return Cookie(
        key=cookie_name(settings),
        value=token,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.secure_cookies,
    )


def ended_cookie(settings: GatewaySettings) -> Cookie:
    """Tells the browser to forget the session."""
    return Cookie(
        key=cookie_name(settings),
        value="",
        max_age=0,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.secure_cookies,
    )


def read_cookie(header: str, name: str) -> str | None:
    """The value of a cookie of a Cookie header; None when absent or the header is malformed."""
    if len(header) > _MAX_CHARS or name not in header:
        return None
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None
