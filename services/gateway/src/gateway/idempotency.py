"""Idempotency-Keys: a request sent again does nothing again.

The key stands for a request_id. The service that owns the change knows a request_id again and
answers as it did; what is kept here says which request a key meant, and whether it is running.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from fleetkit.ids import new_id
from fleetkit.postgres import Database

from gateway.auth.principal import Principal
from gateway.store.idempotency import KeyUse, insert_key_use, key_use, set_lease
from gateway.text import ASCII_PATTERN

KEPT_HOURS = 24
_MAX_CHARS = 255


@asynccontextmanager
async def request_id(
    db: Database,
    principal: Principal,
    operation: str,
    key: str,
    body: bytes,
    *,
    lease_s: float = 30.0,
    join: bool = False,
) -> AsyncIterator[UUID]:
    """The request_id to send on: a fresh one without a key, else the one the key stands for.

    AlreadyExists (422) when the key came with another body before. FailedPrecondition (409) when
    that request is still being answered, unless `join`: then the caller joins its answer.
    """
    if not key:
        yield new_id()
        return
    if len(key) > _MAX_CHARS or not re.fullmatch(ASCII_PATTERN, key):
        raise InvalidArgument(
            f"Idempotency-Key has at most {_MAX_CHARS} printable characters of ASCII",
            field="Idempotency-Key",
        )
    use = KeyUse(principal.tenant_id, principal.subject, operation, _sha256(key.encode()))
    found = await _claim(db, use, _sha256(body), 0 if join else lease_s, join=join)
    try:
        yield found
    finally:
        if not join:
            async with db.tenant(use.tenant_id) as conn:
                await set_lease(conn, use, 0)


async def _claim(
    db: Database, use: KeyUse, body_sha256: bytes, lease_s: float, *, join: bool
) -> UUID:
    wanted = new_id()
    async with db.tenant(use.tenant_id) as conn:
        if await insert_key_use(conn, use, body_sha256, wanted, lease_s):
            return wanted
        known = await key_use(conn, use)
        if known is None or known.body_sha256 != body_sha256:
            raise AlreadyExists(
                "this Idempotency-Key came with another body before: use a new key",
                field="Idempotency-Key",
                reason="IDEMPOTENCY_KEY_REUSED",
            )
        if known.in_flight and not join:
            raise FailedPrecondition(
                "the request with this Idempotency-Key is still being answered: ask again later",
                field="Idempotency-Key",
                reason="IDEMPOTENCY_IN_FLIGHT",
                retry_after_s=1.0,
            )
        if not join:
            await set_lease(conn, use, lease_s)
        return known.request_id


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
