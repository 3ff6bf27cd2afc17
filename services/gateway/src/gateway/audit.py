"""The audit log: who did what to which thing, when."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from fleetkit.ids import new_id
from fleetkit.postgres import FleetConnection

from gateway.auth.principal import Principal
from gateway.store.audit import AuditRow, insert_audit


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: "user" or "api_key", its id, and the address it came from."""

    kind: str
    subject: str
    client_ip: str


def actor_of(principal: Principal, client_ip: str) -> Actor:
    """The actor that an authenticated request is."""
    return Actor(principal.identity.kind, principal.subject, client_ip)


async def record(
    conn: FleetConnection,
    tenant_id: UUID,
    actor: Actor,
    action: str,
    target: str,
    details: Mapping[str, str] | None = None,
) -> None:
    """Writes a line in the transaction of what it tells of.

    `action` is "<thing>.<past tense>"; `target` an id; `details` facts such as a role, never
    text that somebody wrote.
    """
    row = AuditRow(
        audit_id=new_id(),
        occur_time=conn.now(),
        actor_kind=actor.kind,
        actor=actor.subject,
        action=action,
        target=target,
        details=details or {},
        client_ip=actor.client_ip,
    )
    await insert_audit(conn, tenant_id, row)
