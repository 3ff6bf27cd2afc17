"""Bodies of the team and of invitations to it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from gateway.invitations import Sent
from gateway.shapes.common import described
from gateway.store.invitations import InvitationRow
from gateway.store.members import MemberRow

TeamRole = Literal["viewer", "agent", "admin", "owner"]


class Member(Struct, frozen=True):
    """A person of the team. `last_seen_time` is to the minute; null before the first sign-in."""

    user_id: UUID
    email: str
    role: str
    create_time: datetime
    last_seen_time: datetime | None

    @classmethod
    def of(cls, row: MemberRow) -> "Member":
        """From the row."""
        return cls(row.user_id, row.email, row.role, row.create_time, row.last_seen_time)


class MemberList(Struct, frozen=True):
    """People of the team, those who joined first first."""

    items: list[Member]
    next_page_token: str


class RoleRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The role that somebody is to have."""

    role: TeamRole


class Invitation(Struct, frozen=True):
    """An invitation that was not accepted; `inviter` is a user's or key's id.

    `mailed` says whether a mail server took the mail with its link.
    """

    invitation_id: UUID
    email: str
    role: str
    inviter: str
    mailed: bool
    create_time: datetime
    expire_time: datetime

    @classmethod
    def of(cls, row: InvitationRow) -> "Invitation":
        """From the row."""
        return cls(
            row.invitation_id,
            row.email,
            row.role,
            row.inviter,
            row.mailed,
            row.create_time,
            row.expire_time,
        )


class InvitationList(Struct, frozen=True):
    """Invitations that were not accepted, oldest first; those that expired, too, for 30 days."""

    items: list[Invitation]
    next_page_token: str


class InvitationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite, and to which role."""

    email: Annotated[str, described(format="email"), Meta(min_length=3, max_length=254)]
    role: TeamRole = "agent"


class SentInvitation(Struct, frozen=True):
    """An invitation that was sent.

    `url` is its link, shown this once for you to hand on, when it could not be mailed; else null.
    """

    invitation: Invitation
    url: str | None

    @classmethod
    def of(cls, sent: Sent) -> "SentInvitation":
        """From what was sent."""
        return cls(Invitation.of(sent.row), sent.url or None)
