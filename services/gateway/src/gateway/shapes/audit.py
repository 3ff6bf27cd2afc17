"""Bodies of the audit log."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from gateway.store.audit import AuditRow


class AuditEntry(Struct, frozen=True):
    """One thing that somebody did: `actor` is a user's or key's id, `target` a thing's."""

    audit_id: UUID
    occur_time: datetime
    actor_kind: str
    actor: str
    action: str
    target: str
    details: Mapping[str, str]
    client_ip: str

    @classmethod
    def of(cls, row: AuditRow) -> "AuditEntry":
        """From the row."""
        return cls(
            row.audit_id,
            row.occur_time,
            row.actor_kind,
            row.actor,
            row.action,
            row.target,
            row.details,
            row.client_ip,
        )


class AuditLog(Struct, frozen=True):
    """Lines of the log, newest first."""

    items: list[AuditEntry]
    next_page_token: str
