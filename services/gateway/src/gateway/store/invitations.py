"""Rows of invitations to a team."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation that was not accepted, without its token; `inviter` is a user's or key's id."""

    invitation_id: UUID
    email: str
    role: str
    inviter: str
    mailed: bool
    create_time: datetime
    expire_time: datetime
    token_sha256: bytes


async def insert_invitation(conn: FleetConnection, tenant_id: UUID, row: InvitationRow) -> bool:
    """Adds an invitation; False when the e-mail has one already."""
    added = await conn.execute(
        "insert into invitation (invitation_id, tenant_id, email, role, token_sha256, inviter,"
        " mailed, create_time, expire_time) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (tenant_id, email) do nothing",
        [
            row.invitation_id,
            tenant_id,
            row.email,
            row.role,
            row.token_sha256,
            row.inviter,
            row.mailed,
            row.create_time,
            row.expire_time,
        ],
    )
    return added.rowcount == 1


async def invitations(
    conn: FleetConnection, tenant_id: UUID, limit: int, after: UUID | None = None
) -> list[InvitationRow]:
    """Invitations, oldest first, those after `after`; expired ones too."""
    async with conn.cursor(row_factory=class_row(InvitationRow)) as cursor:
        await cursor.execute(
            "select invitation_id, email, role, inviter, mailed, create_time, expire_time,"
            " token_sha256 from invitation where tenant_id = %s and invitation_id > %s"
            " order by invitation_id limit %s",
            [tenant_id, after or UUID(int=0), limit],
        )
        return await cursor.fetchall()


async def invitation(
    conn: FleetConnection, tenant_id: UUID, invitation_id: UUID
) -> InvitationRow | None:
    """An invitation by id, held until the end of the transaction; expired ones too."""
    async with conn.cursor(row_factory=class_row(InvitationRow)) as cursor:
        await cursor.execute(
            "select invitation_id, email, role, inviter, mailed, create_time, expire_time,"
            " token_sha256 from invitation where tenant_id = %s and invitation_id = %s for update",
            [tenant_id, invitation_id],
        )
        return await cursor.fetchone()


async def renew_invitation(
    conn: FleetConnection,
    tenant_id: UUID,
    invitation_id: UUID,
    token_sha256: bytes,
    expire_time: datetime,
) -> None:
    """Gives an invitation another token and expiry."""
    await conn.execute(
        "update invitation set token_sha256 = %s, expire_time = %s, mailed = false"
        " where tenant_id = %s and invitation_id = %s",
        [token_sha256, expire_time, tenant_id, invitation_id],
    )


async def mark_mailed(conn: FleetConnection, tenant_id: UUID, token_sha256: bytes) -> None:
    """Records that the link with this token went to the mailbox alone."""
    await conn.execute(
        "update invitation set mailed = true where tenant_id = %s and token_sha256 = %s",
        [tenant_id, token_sha256],
    )


async def delete_invitation(conn: FleetConnection, tenant_id: UUID, invitation_id: UUID) -> None:
    """Removes an invitation."""
    await conn.execute(
        "delete from invitation where tenant_id = %s and invitation_id = %s",
        [tenant_id, invitation_id],
    )


async def delete_expired_invitations(
    conn: FleetConnection, tenant_id: UUID, before: datetime
) -> list[bytes]:
    """Removes invitations that expired before then; returns their tokens' hashes."""
    ended = await conn.execute(
        "delete from invitation where tenant_id = %s and expire_time < %s returning token_sha256",
        [tenant_id, before],
    )
    return [row[0] for row in await ended.fetchall()]
