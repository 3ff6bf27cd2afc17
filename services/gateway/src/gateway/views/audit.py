"""Settings → Audit: who did what to which thing, when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from gateway.store.audit import AuditRow
from gateway.views.format import When, when
from gateway.views.frame import link

PATH = "/settings/audit"
DID = {
    "agent.changed": "Changed an agent’s draft",
    "agent.created": "Made an agent",
    "agent.published": "Published an agent",
    "agent.rolled_back": "Took an agent back to an earlier version",
    "api_key.created": "Created an API key",
    "api_key.revoked": "Revoked an API key",
    "budget.changed": "Changed a budget",
    "budget.created": "Made a budget",
    "budget.deleted": "Deleted a budget",
    "conflict.dismissed": "Dismissed a conflict of two documents",
    "conflict.restored": "Opened a conflict of two documents again",
    "embedding_model.chosen": "Chose another embedding model",
    "erasure.requested": "Had somebody erased",
    "invitation.created": "Invited somebody to the team",
    "invitation.resent": "Sent an invitation again",
    "invitation.withdrawn": "Withdrew an invitation",
    "model_prices.cleared": "Went back to the book’s prices of a model",
    "model_prices.set": "Set own prices of a model",
    "provider_key.deleted": "Forgot a key at a provider",
    "provider_key.set": "Set a key at a provider",
    "tenant.signed_up": "Signed the company up",
    "time_zone.set": "Set the time zone",
    "user.joined": "Joined the team",
    "user.removed": "Removed somebody from the team",
    "user.role_changed": "Gave somebody another role",
    "user.sign_in_failed": "Failed to sign in",
    "user.signed_in": "Signed in",
    "widget.changed": "Changed where a widget may stand",
    "widget.secret_rotated": "Made a new secret for proving visitors",
}
_GONE = {"user": "somebody who is gone", "api_key": "a key that is gone"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: an actor's id, an action, days (UTC, both included)."""

    who: str = ""
    did: str = ""
    first: date | None = None
    last: date | None = None

    @property
    def is_any(self) -> bool:
        """Whether nothing is left out."""
        return self == Asked()

    def href(self, **changes: str) -> str:
        """The page with this, or with something else in its place."""
        days = {"from": str(self.first or ""), "to": str(self.last or "")}
        return link(PATH, **({"who": self.who, "did": self.did, **days} | changes))


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One thing that somebody did."""

    when: When
    who: str
    who_href: str
    kind: str
    did: str
    target: str
    facts: str
    client_ip: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Lines of the log, newest first, and what else could be asked for: (value, word)."""

    lines: tuple[AuditLine, ...]
    asked: Asked
    actors: tuple[tuple[str, str], ...]
    actions: tuple[tuple[str, str], ...]
    first_href: str
    next_href: str


def audit_view(
    rows: Sequence[AuditRow],
    actors: Mapping[str, str],
    names: Mapping[str, str],
    asked: Asked,
    tokens: tuple[str, str],
    now: datetime,
) -> AuditPage:
    """The lines as they are shown.

    `actors` are the people and keys that there are, `names` also those that the lines need;
    `tokens` are this page's and the next one's.
    """
    token, next_token = tokens
    choices = dict(sorted(actors.items(), key=lambda item: item[1].casefold()))
    if asked.who:
        choices.setdefault(asked.who, names.get(asked.who, "who is gone"))
    return AuditPage(
        lines=tuple(_line(row, names, asked, now) for row in rows),
        asked=asked,
        actors=(("", "Anybody"), *choices.items()),
        actions=(("", "Anything"), *sorted(DID.items(), key=lambda item: item[1])),
        first_href=asked.href() if token else "",
        next_href=asked.href(page_token=next_token) if next_token else "",
    )


def _line(row: AuditRow, names: Mapping[str, str], asked: Asked, now: datetime) -> AuditLine:
    return AuditLine(
        when=when(row.occur_time, now),
        who_href=asked.href(who=row.actor),
        who=names.get(row.actor) or _GONE.get(row.actor_kind, row.actor),
        kind="API key" if row.actor_kind == "api_key" else "",
        # A new action is told by its own name until it has a sentence.
        did=DID.get(row.action, row.action.replace(".", " ").replace("_", " ").capitalize()),
        target=row.target,
        facts=", ".join(f"{name} {value}" for name, value in row.details.items()),
        client_ip=row.client_ip,
    )
