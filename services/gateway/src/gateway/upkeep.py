"""What must be tidied up: sessions, invitations, Idempotency-Keys, secrets under old keys."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fleetkit.logging import get_logger
from fleetkit.postgres import Database, known_tenants

from gateway.auth.authenticator import SESSION_IDLE
from gateway.idempotency import KEPT_HOURS
from gateway.store.accounts import forget_credentials
from gateway.store.idempotency import delete_old_key_uses
from gateway.store.invitations import delete_expired_invitations
from gateway.store.sessions import delete_ended_sessions
from gateway.widgets import Widgets

# How long an invitation that has expired can still be sent again.
_EXPIRED_KEPT = timedelta(days=30)


async def tidy(db: Database) -> None:
    """Removes what has ended, one tenant at a time."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            await _tidy_tenant(db, tenant_id)
        after = tenants[-1]


async def reseal_secrets(db: Database, widgets: Widgets) -> None:
    """Seals every tenant's secrets with the first of the configured keys."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            count = await widgets.reseal(tenant_id)
            if count:
                get_logger().info("secrets_resealed", count=count)
        after = tenants[-1]


async def _tidy_tenant(db: Database, tenant_id: UUID) -> None:
    async with db.tenant(tenant_id) as conn:
        hashes = await delete_ended_sessions(conn, tenant_id, datetime.now(UTC) - SESSION_IDLE)
        await forget_credentials(conn, "session", hashes)
        tokens = await delete_expired_invitations(conn, tenant_id, conn.now() - _EXPIRED_KEPT)
        await forget_credentials(conn, "invitation", tokens)
        await delete_old_key_uses(conn, tenant_id, KEPT_HOURS)
