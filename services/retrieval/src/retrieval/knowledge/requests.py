"""Answers by request_id: a repeated request changes nothing and gets the first one's outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fleetkit.errors import AlreadyExists, FleetError, InvalidArgument, NotFound
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.store import sources as store
from retrieval.store.rows import SourceRow

_KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input: a source, or the error that refused it."""

    source: SourceRow | None
    error: FleetError | None = None


async def answered(
    db: Database, tenant_id: UUID, request_id: str, fingerprint: bytes
) -> list[Outcome] | None:
    """`recall` in a transaction of its own, before any work is done."""
    async with db.tenant(tenant_id) as conn:
        return await recall(conn, tenant_id, request_id, fingerprint)


async def recall(
    conn: FleetConnection, tenant_id: UUID, request_id: str, fingerprint: bytes
) -> list[Outcome] | None:
    """The outcomes of a request answered before, its sources as they are now; None when it is new.

    AlreadyExists when its id was used for another request.
    """
    found = await store.get_request(conn, tenant_id, request_id)
    if found is None:
        return None
    if found[0] != fingerprint:
        raise AlreadyExists(
            "this request_id was used for another request: choose a new one for each request",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    return [await _recorded_outcome(conn, tenant_id, outcome) for outcome in found[1]]


async def _recorded_outcome(
    conn: FleetConnection, tenant_id: UUID, recorded: dict[str, str]
) -> Outcome:
    if source_id := recorded.get("source_id"):
        row = await store.get_source(conn, tenant_id, UUID(source_id))
        gone = NotFound("the source was deleted since", reason="SOURCE_NOT_FOUND")
        return Outcome(row) if row else Outcome(None, gone)
    error = InvalidArgument(
        recorded["message"], field=recorded["field"] or None, reason=recorded["reason"]
    )
    return Outcome(None, error)


def _recorded(outcome: Outcome) -> dict[str, str]:
    if outcome.source is not None:
        return {"source_id": str(outcome.source.source_id)}
    error = outcome.error
    assert error is not None  # noqa: S101 - an outcome has one of the two
    return {"message": error.message, "field": error.field or "", "reason": error.reason}


async def remember(
    conn: FleetConnection,
    tenant_id: UUID,
    request_id: str,
    fingerprint: bytes,
    outcomes: Sequence[Outcome],
) -> None:
    """Keeps the outcomes for those who ask again within two days."""
    now = conn.now()
    recorded = [_recorded(outcome) for outcome in outcomes]
    await store.forget_requests(conn, tenant_id, now - _KEPT)
    await store.put_request(conn, tenant_id, request_id, fingerprint, recorded, now)
