"""What people give as a source, checked."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from fleetkit.errors import InvalidArgument
from fleetkit.fetch import FetchError, checked_url

from retrieval.knowledge.websites import SITE_TYPES, checked_limits
from retrieval.parsing.document import one_line
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.sniff import refuse_early
from retrieval.store.rows import USUAL_LIMITS, SiteLimits

MAX_BATCH = 100
MAX_INLINE_BYTES = 4 * 2**20
_MAX_SHORT_BYTES = 512
_MAX_URL_BYTES = 2_048
_MAX_REQUEST_ID_BYTES = 128
_NOT_IN_A_NAME = re.compile(r"^.*[/\\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceInput:
    """A source as given; `type` is "" when it was not said.

    Of a website `url` is where it begins; 0 in `limits` stands for the usual ones.
    """

    type: str
    external_id: str
    title: str
    url: str
    file_name: str
    content: bytes
    limits: SiteLimits = USUAL_LIMITS


def check_request_id(request_id: str) -> None:
    """Raises InvalidArgument unless it can be an idempotency key."""
    if not request_id or len(request_id.encode()) > _MAX_REQUEST_ID_BYTES:
        raise InvalidArgument(
            f"request_id is needed, at most {_MAX_REQUEST_ID_BYTES} bytes", field="request_id"
        )
    check_text("request_id", request_id)


def check_header(given: SourceInput) -> SourceInput:
    """The input with its names tidied; InvalidArgument naming the field that is wrong."""
    if given.type not in ("file", "text", *SITE_TYPES):
        raise InvalidArgument("type is one of file, text, url, sitemap and crawl", field="type")
    for field in ("external_id", "title"):
        _check_length(field, getattr(given, field), _MAX_SHORT_BYTES)
    url = given.url
    if given.type in SITE_TYPES:
        url = _checked_site(given)
    else:
        _check_url(url)
        _check_no_limits(given.limits)
    name = one_line(_NOT_IN_A_NAME.sub("", given.file_name))
    return SourceInput(
        type=given.type,
        external_id=check_text("external_id", given.external_id),
        title=one_line(given.title),
        url=url,
        file_name=name.encode()[:_MAX_SHORT_BYTES].decode(errors="ignore"),
        content=given.content,
        limits=given.limits,
    )


def check_content(content: bytes, max_bytes: int) -> None:
    """Raises InvalidArgument for what is too large, empty, or plainly of no readable type."""
    if len(content) > max_bytes:
        raise InvalidArgument(
            f"content has {len(content):,} bytes; at most {max_bytes:,} are allowed here",
            field="content",
            reason="TOO_LARGE",
            details={"limit_bytes": str(max_bytes)},
        )
    try:
        refuse_early(content)
    except DocumentError as error:
        raise InvalidArgument(error.message, field="content", reason=error.reason) from error


def digest(inputs: Sequence[SourceInput]) -> bytes:
    """SHA-256 of a request, to tell a repeated one from another with the same id."""
    whole = hashlib.sha256()
    for given in inputs:
        limits = f"{given.limits.max_pages} {given.limits.max_depth}"
        for paths in (given.limits.include_paths, given.limits.exclude_paths):
            limits += "".join(f"\n{path}" for path in paths) + "\n" * bool(paths)
        names = (given.type, given.external_id, given.title, given.url, given.file_name, limits)
        for value in names:
            encoded = value.encode()
            whole.update(len(encoded).to_bytes(8, "big") + encoded)
        whole.update(hashlib.sha256(given.content).digest())
    return whole.digest()


def _check_length(field: str, value: str, limit: int) -> None:
    size = len(value.encode())
    if size > limit:
        raise InvalidArgument(
            f"{field} has {size:,} bytes; at most {limit:,} are allowed", field=field
        )


def check_text(field: str, value: str) -> str:
    """The value; InvalidArgument when it has control characters, which no column takes."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise InvalidArgument(f"{field} has control characters in it", field=field)
    return value


def _check_no_limits(given: SiteLimits) -> None:
    for field, value in asdict(given).items():
        if value:
            raise InvalidArgument(f"only a website has {field}: leave it out", field=field)


def _checked_site(given: SourceInput) -> str:
    """Where a website begins, as it will be asked for."""
    if given.content:
        raise InvalidArgument("a website has no content: leave it out", field="content")
    checked_limits(given.limits, given.type)
    _check_length("url", given.url, _MAX_URL_BYTES)
    try:
        return str(checked_url(check_text("url", given.url)))
    except FetchError as error:
        raise InvalidArgument(error.message, field="url", reason=error.reason) from error


def _check_url(url: str) -> None:
    _check_length("url", url, _MAX_URL_BYTES)
    if not url:
        return
    try:
        parts = urlsplit(check_text("url", url))
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidArgument("url starts with http:// or https:// and names a host", field="url")
