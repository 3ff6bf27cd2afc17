"""Origins of browsers' requests: our own pages, and pages that embed the widget."""

import re
from urllib.parse import urlsplit

from fleetkit.errors import InvalidArgument, PermissionDenied

from gateway.config import GatewaySettings
from gateway.requests import Head

MAX_ORIGINS = 50
_HOST = "[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
# Plain http is for developers' own machines.
ORIGIN_PATTERN = rf"^(https://{_HOST}|http://(localhost|127\.0\.0\.1|\[::1\]))(:{_PORT})?/?$"
_ORIGIN = re.compile(ORIGIN_PATTERN, re.IGNORECASE)
_SAME = ("same-origin", "none")


def is_own_page(settings: GatewaySettings, head: Head) -> bool:
    """Whether a browser says that one of our own pages asks.

    `Sec-Fetch-Site` can't be set by a script. Older browsers send `Origin`, which must be
    ours. A request with neither comes from no page of another origin.
    """
    site = head.get(b"sec-fetch-site")
    if site:
        return site in _SAME
    origin = head.get(b"origin")
    return not origin or origin == own_origin(settings, head)


def own_origin(settings: GatewaySettings, head: Head) -> str:
    """The origin of our pages: as configured, else the one that this request was sent to."""
    return settings.public_url or f"{head.scheme}://{head.get(b'host').lower()}"


def refuse_other_pages(settings: GatewaySettings, head: Head) -> None:
    """Raises PermissionDenied when a page of another origin asks."""
    if not is_own_page(settings, head):
        raise PermissionDenied(
            "this may be asked from Fleetdesk's own pages only", reason="CROSS_ORIGIN"
        )


def normalized_origin(value: str) -> str:
    """`https://shop.example.com[:port]` in lower case; InvalidArgument when it is none."""
    origin = value.strip()
    if not _ORIGIN.fullmatch(origin):
        raise InvalidArgument(
            f"{value[:100]!r} is not an origin: write https://shop.example.com, without a path",
            field="allowed_origins",
            reason="ORIGIN_INVALID",
        )
    return origin.lower().removesuffix("/")


def is_wellformed(origin: str) -> bool:
    """Whether a browser's Origin header names an origin at all (not "null", not a path)."""
    parts = _split(origin)
    return bool(parts and parts.scheme in ("http", "https") and parts.netloc and not parts.path)


def _split(value: str):  # noqa: ANN202 - urlsplit's own
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts
