"""Page tokens: where a list goes on, opaque to callers and bound to the list they came from."""

import base64
import binascii
import hmac
import struct
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from fleetkit.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST_BYTES = 8


def page_token(update_time: datetime, last_id: UUID, scope: bytes) -> str:
    """The token for what comes after this row of the list that `scope` describes."""
    micros = (update_time - _EPOCH) // timedelta(microseconds=1)
    body = struct.pack(">q16s", micros, last_id.bytes)
    return base64.urlsafe_b64encode(body + _digest(body, scope)).decode()


def read_page_token(token: str, scope: bytes) -> tuple[datetime, UUID] | None:
    """What a token says; None for the first page.

    InvalidArgument when it was changed or belongs to another tenant's or another filter's list.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        micros, last_id = struct.unpack(">q16s", body)
        time, same_list = _EPOCH + timedelta(microseconds=micros), _digest(body, scope)
    except (ValueError, struct.error, binascii.Error, OverflowError) as error:
        raise _refused() from error
    if not hmac.compare_digest(digest, same_list):
        raise _refused()
    return time, UUID(bytes=last_id)


def _refused() -> InvalidArgument:
    return InvalidArgument(
        "page_token is not one that this list gave: leave it empty to begin anew, and keep the "
        "filters the same from page to page",
        field="page_token",
    )


def _digest(body: bytes, scope: bytes) -> bytes:
    # No secret: whoever forges a token still reads only rows of its own tenant.
    return blake2b(body + scope, digest_size=_DIGEST_BYTES).digest()
