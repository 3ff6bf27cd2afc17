"""Mutating calls that carry a request_id are carried out once."""

from hashlib import sha256
from uuid import UUID

from fleetkit.errors import AlreadyExists, InvalidArgument
from fleetkit.postgres import FleetConnection
from google.protobuf.message import Message

from conversation.store import requests as store

MAX_REQUEST_ID_CHARS = 200
KEEP_DAYS = 30


def check_request_id(request_id: str) -> None:
    """InvalidArgument when it can't be remembered; an empty one means: nothing to remember."""
    if len(request_id) > MAX_REQUEST_ID_CHARS or "\0" in request_id:
        raise InvalidArgument(
            f"request_id may have at most {MAX_REQUEST_ID_CHARS} characters, none of them NUL",
            field="request_id",
        )


async def once(
    conn: FleetConnection, tenant_id: UUID, request: Message, result_id: UUID
) -> UUID | None:
    """Remembers `request` by its request_id: None the first time, later the first `result_id`.

    Belongs into the transaction of the change. AlreadyExists when the id was used for something
    else. A request without an id is always the first.
    """
    request_id: str = getattr(request, "request_id", "")
    check_request_id(request_id)
    if not request_id:
        return None
    method = request.DESCRIPTOR.name
    fingerprint = sha256(request.SerializeToString(deterministic=True)).digest()
    if await store.insert_request(conn, tenant_id, method, request_id, fingerprint, result_id):
        return None
    known = await store.get_request(conn, tenant_id, method, request_id)
    if known is None or known.fingerprint != fingerprint:
        raise AlreadyExists(
            "this request_id was used for another request: use a new one for each",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    return known.result_id
