"""What several routes read of their requests."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from uuid import UUID

import msgspec
from fleetkit.errors import InvalidArgument

from gateway import idempotency
from gateway.parts import GatewayRequest, parts_of

_ASKED = {"start_time": "from", "end_time": "to"}


def request_id(
    request: GatewayRequest,
    idempotency_key: str,
    data: object,
    *,
    join: bool = False,
    lease_s: float = 30.0,
) -> AbstractAsyncContextManager[UUID]:
    """The request_id that the Idempotency-Key stands for, with `data` as the body.

    A fresh one without a key.
    """
    return idempotency.request_id(
        parts_of(request).db,
        request.user,
        f"{request.method} {request.scope['path']}",
        idempotency_key,
        msgspec.json.encode(data),
        lease_s=lease_s,
        join=join,
    )


def wants_stream(request: GatewayRequest) -> bool:
    """Whether the client asks for server-sent events rather than JSON."""
    accept = request.headers.get("accept", "").lower()
    return "text/event-stream" in accept


@contextmanager
def as_asked() -> Iterator[None]:
    """Names the times that are wrong as the address does."""
    try:
        yield
    except InvalidArgument as error:
        error.field = _ASKED.get(error.field or "", error.field)
        raise
