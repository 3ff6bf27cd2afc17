"""The connection that a transaction is handed: psycopg's, which also knows its tenant."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg


def _real_now() -> datetime:
    return datetime.now(UTC)


class FleetConnection(psycopg.AsyncConnection[Any]):
    """A pooled connection inside one transaction.

    `tenant_id` is the tenant of the transaction, None in a fleet transaction. `now` reads the
    fleet clock. `signals` names what to wake once the transaction is committed ("outbox", "job").
    """

    tenant_id: UUID | None = None
    now: Callable[[], datetime] = staticmethod(_real_now)
    signals: frozenset[str] = frozenset()

    def signal(self, topic: str) -> None:
        """Wakes those who listen to `topic` once this transaction is committed."""
        self.signals |= {topic}
