"""Rows of people, as members of their tenant's team."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A person of a tenant, without the password."""

    user_id: UUID
    email: str
    role: str
    create_time: datetime
    last_seen_time: datetime | None


async def lock_team(conn: FleetConnection, tenant_id: UUID) -> None:
    """Lets no other transaction change the team before the end of this one."""
    await conn.execute("select from tenant where tenant_id = %s for no key update", [tenant_id])


async def members(
    conn: FleetConnection, tenant_id: UUID, limit: int, after: UUID | None = None
) -> list[MemberRow]:
    """People of the tenant, those who joined first first, those after `after`."""
    async with conn.cursor(row_factory=class_row(MemberRow)) as cursor:
        await cursor.execute(
            "select user_id, email, role, create_time, last_seen_time from user_account"
            " where tenant_id = %s and user_id > %s order by user_id limit %s",
            [tenant_id, after or UUID(int=0), limit],
        )
        return await cursor.fetchall()


async def member(conn: FleetConnection, tenant_id: UUID, user_id: UUID) -> MemberRow | None:
    """A person by id."""
    async with conn.cursor(row_factory=class_row(MemberRow)) as cursor:
        await cursor.execute(
            "select user_id, email, role, create_time, last_seen_time from user_account"
            " where tenant_id = %s and user_id = %s",
            [tenant_id, user_id],
        )
        return await cursor.fetchone()


async def has_email(conn: FleetConnection, tenant_id: UUID, email: str) -> bool:
    """Whether somebody of the tenant has this e-mail."""
    found = await conn.execute(
        "select from user_account where tenant_id = %s and email = %s", [tenant_id, email]
    )
    return await found.fetchone() is not None


async def count_owners(conn: FleetConnection, tenant_id: UUID) -> int:
    """How many owners the tenant has."""
    found = await conn.execute(
        "select count(*) from user_account where tenant_id = %s and role = 'owner'", [tenant_id]
    )
    row = await found.fetchone()
    return row[0] if row else 0


async def count_people(conn: FleetConnection, tenant_id: UUID) -> int:
    """How many people the tenant has, those who are invited included."""
    found = await conn.execute(
        "select (select count(*) from user_account where tenant_id = %(tenant_id)s)"
        " + (select count(*) from invitation where tenant_id = %(tenant_id)s)",
        {"tenant_id": tenant_id},
    )
    row = await found.fetchone()
    return row[0] if row else 0


async def set_role(conn: FleetConnection, tenant_id: UUID, user_id: UUID, role: str) -> None:
    """Gives a person another role."""
    await conn.execute(
        "update user_account set role = %s where tenant_id = %s and user_id = %s",
        [role, tenant_id, user_id],
    )


async def touch_member(
    conn: FleetConnection, tenant_id: UUID, user_id: UUID, seen_time: datetime
) -> None:
    """Records that the person is here."""
    await conn.execute(
        "update user_account set last_seen_time = %s where tenant_id = %s and user_id = %s",
        [seen_time, tenant_id, user_id],
    )


async def delete_member(conn: FleetConnection, tenant_id: UUID, user_id: UUID) -> None:
    """Removes a person, with its sessions."""
    await conn.execute(
        "delete from user_account where tenant_id = %s and user_id = %s", [tenant_id, user_id]
    )
