"""Settings → Team: who can sign in, and who was invited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gateway.auth.principal import Role
from gateway.invitations import Opened, Sent
from gateway.store.invitations import InvitationRow
from gateway.store.members import MemberRow
from gateway.views.format import When, count, when

ROLES = (
    ("viewer", "Viewer: reads everything"),
    ("agent", "Agent: answers, edits knowledge"),
    ("admin", "Admin: configures, invites"),
    ("owner", "Owner: may do everything"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a row; `roles` are those to choose from, none where nothing may be changed."""

    user_id: UUID
    email: str
    role: str
    since: When
    seen: When | None
    is_me: bool
    roles: tuple[str, ...]
    may_remove: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation as a row."""

    invitation_id: UUID
    email: str
    role: str
    by: str
    sent: When
    expires: str
    expired: bool
    may_manage: bool


@dataclass(frozen=True, slots=True)
class TeamPage:
    """The team; `link` is that of an invitation to `link_email`, shown this once."""

    headline: str
    people: tuple[Person, ...]
    invited: tuple[Invited, ...]
    roles: tuple[tuple[str, str], ...]
    link: str
    link_email: str


def team_page(
    people: Sequence[MemberRow],
    invited: Sequence[InvitationRow],
    inviters: Mapping[str, str],
    me: UUID,
    role: Role,
    now: datetime,
    sent: Sent | None = None,
) -> TeamPage:
    """The page as `me` with `role` sees it; `sent` is an invitation that could not be mailed.

    `inviters` are the names of those who invited, by id, of those that are left.
    """
    owners = sum(row.role == "owner" for row in people)
    return TeamPage(
        headline=_headline(len(people), len(invited)),
        people=tuple(_person(row, me, role, owners, now) for row in people),
        invited=tuple(_invited(row, inviters, role, now) for row in invited),
        roles=tuple(item for item in ROLES if Role.of(item[0]) <= role),
        link=sent.url if sent else "",
        link_email=sent.row.email if sent else "",
    )


def _headline(people: int, invited: int) -> str:
    if people == 1 and not invited:
        return "Only you so far. Whoever answers your visitors needs an account of their own."
    said = count(people, "person can sign in", "people can sign in")
    return f"{said}; {count(invited, 'invitation')} not accepted yet." if invited else f"{said}."


def _person(row: MemberRow, me: UUID, role: Role, owners: int, now: datetime) -> Person:
    manages = role >= Role.ADMIN and Role.of(row.role) <= role
    is_last = row.role == "owner" and owners == 1
    may = manages and not is_last
    return Person(
        user_id=row.user_id,
        email=row.email,
        role=row.role,
        since=when(row.create_time, now),
        seen=when(row.last_seen_time, now) if row.last_seen_time else None,
        is_me=row.user_id == me,
        roles=tuple(each.label for each in Role if each <= role) if may else (),
        may_remove=may,
        why_not="the only owner" if is_last else "",
    )


def _invited(row: InvitationRow, names: Mapping[str, str], role: Role, now: datetime) -> Invited:
    expired = row.expire_time <= now
    days = max(1, round((row.expire_time - now).total_seconds() / 86_400))
    return Invited(
        invitation_id=row.invitation_id,
        email=row.email,
        role=row.role,
        by=names.get(row.inviter, "somebody who is gone"),
        sent=when(row.create_time, now),
        expires="expired" if expired else f"in {count(days, 'day')}",
        expired=expired,
        may_manage=role >= Role.ADMIN and Role.of(row.role) <= role,
    )


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """The question before somebody is removed; `keys` is how many API keys that person made."""

    user_id: UUID
    email: str
    role: str
    is_me: bool
    keys: str
    error: str = ""


def remove_member_view(row: MemberRow, me: UUID, keys: int, error: str = "") -> RemoveMember:
    """What goes and what stays."""
    said = count(keys, "API key") if keys else ""
    return RemoveMember(row.user_id, row.email, row.role, row.user_id == me, said, error)


@dataclass(frozen=True, slots=True)
class Welcome:
    """An invitation as who opens its link sees it."""

    company: str
    email: str
    role: str


def welcome(opened: Opened) -> Welcome:
    """Whose desk it is, and as what."""
    return Welcome(opened.company, opened.row.email, dict(ROLES)[opened.row.role])
