"""Rows of tenants, people and the index of credentials."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row

Kind = Literal["email", "session", "api_key", "agent", "erasure", "invitation"]


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A company."""

    tenant_id: UUID
    company: str
    plan_id: str
    agent_id: UUID
    revision: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person of a tenant."""

    user_id: UUID
    tenant_id: UUID
    email: str
    password_hash: str
    role: str
    verify_time: datetime | None
    create_time: datetime


async def insert_tenant(conn: FleetConnection, tenant: TenantRow) -> None:
    """Adds a tenant."""
    await conn.execute(
        "insert into tenant (tenant_id, company, plan_id, agent_id, revision, create_time)"
        " values (%s, %s, %s, %s, %s, %s)",
        [
            tenant.tenant_id,
            tenant.company,
            tenant.plan_id,
            tenant.agent_id,
            tenant.revision,
            tenant.create_time,
        ],
    )


async def tenant(conn: FleetConnection, tenant_id: UUID) -> TenantRow | None:
    """A tenant by id."""
    async with conn.cursor(row_factory=class_row(TenantRow)) as cursor:
        await cursor.execute(
            "select tenant_id, company, plan_id, agent_id, revision, create_time"
            " from tenant where tenant_id = %s",
            [tenant_id],
        )
        return await cursor.fetchone()


async def insert_user(conn: FleetConnection, user: UserRow) -> None:
    """Adds a person."""
    await conn.execute(
        "insert into user_account"
        " (user_id, tenant_id, email, password_hash, role, verify_time, create_time)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        [
            user.user_id,
            user.tenant_id,
            user.email,
            user.password_hash,
            user.role,
            user.verify_time,
            user.create_time,
        ],
    )


async def user(conn: FleetConnection, tenant_id: UUID, user_id: UUID) -> UserRow | None:
    """A person by id."""
    async with conn.cursor(row_factory=class_row(UserRow)) as cursor:
        await cursor.execute(
            "select user_id, tenant_id, email, password_hash, role, verify_time, create_time"
            " from user_account where tenant_id = %s and user_id = %s",
            [tenant_id, user_id],
        )
        return await cursor.fetchone()


async def set_password_hash(
    conn: FleetConnection, tenant_id: UUID, user_id: UUID, password_hash: str
) -> None:
    """Replaces a person's password hash."""
    await conn.execute(
        "update user_account set password_hash = %s where tenant_id = %s and user_id = %s",
        [password_hash, tenant_id, user_id],
    )


async def owner_is_verified(conn: FleetConnection, tenant_id: UUID) -> bool:
    """Whether an owner of the tenant has proven the e-mail."""
    found = await conn.execute(
        "select exists (select from user_account"
        " where tenant_id = %s and role = 'owner' and verify_time is not null)",
        [tenant_id],
    )
    row = await found.fetchone()
    return bool(row and row[0])


async def index_credential(
    conn: FleetConnection, kind: Kind, sha256: bytes, tenant_id: UUID, subject_id: UUID
) -> bool:
    """Records whose credential this is; False when somebody has it already."""
    added = await conn.execute(
        "insert into credential_index (kind, sha256, tenant_id, subject_id)"
        " values (%s, %s, %s, %s) on conflict do nothing",
        [kind, sha256, tenant_id, subject_id],
    )
    return added.rowcount == 1


async def credential_owner(
    conn: FleetConnection, kind: Kind, sha256: bytes
) -> tuple[UUID, UUID] | None:
    """Tenant and subject that a credential belongs to; in a fleet transaction."""
    found = await conn.execute(
        "select tenant_id, subject_id from credential_index where kind = %s and sha256 = %s",
        [kind, sha256],
    )
    return await found.fetchone()


async def forget_credentials(conn: FleetConnection, kind: Kind, hashes: list[bytes]) -> None:
    """Removes credentials from the index."""
    await conn.execute(
        "delete from credential_index where kind = %s and sha256 = any(%s)", [kind, hashes]
    )
