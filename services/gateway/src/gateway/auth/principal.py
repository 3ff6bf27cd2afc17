"""Who makes a request, once authenticated."""

import enum
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fleetkit.context import Identity

Credential = Literal["session", "api_key", "visitor"]

ALL_SCOPES = "*"
SCOPES = (
    "agents:read",
    "agents:write",
    "analytics:read",
    "audit:read",
    "billing:read",
    "conversations:read",
    "conversations:write",
    "costs:read",
    "costs:write",
    "erasures:read",
    "erasures:write",
    "keys:read",
    "keys:write",
    "knowledge:read",
    "knowledge:write",
    "models:read",
    "models:write",
    "team:read",
    "team:write",
)


class Role(enum.IntEnum):
    """What a person or key may do; each role includes those below it."""

    VIEWER = 1
    AGENT = 2
    ADMIN = 3
    OWNER = 4

    @property
    def label(self) -> str:
        """Its name in rows, tokens and JSON: "viewer"."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> "Role":
        """The role with that label; KeyError when there is none."""
        return cls[label.upper()]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person (by session), API key or visitor.

    `expire_time` is Unix time in seconds when the credential ends, `sha256` the hash it was found
    by. `role` is None for visitors; `scopes` limit API keys only. `csrf_token` is set for
    sessions, `agent_id` and `origin` (where the widget stood) for visitors.
    """

    credential: Credential
    identity: Identity
    sha256: bytes
    expire_time: float
    role: Role | None = None
    scopes: frozenset[str] = frozenset()
    email: str = ""
    company: str = ""
    csrf_token: str = ""
    agent_id: UUID | None = None
    verified: bool = False

    @property
    def tenant_id(self) -> UUID:
        """The tenant it belongs to."""
        return self.identity.tenant_id

    @property
    def subject(self) -> str:
        """The user's, key's or visitor's id."""
        return self.identity.subject

    def has_scope(self, scope: str) -> bool:
        """Whether an API key was given `scope`; people have all that their role allows."""
        if self.credential != "api_key":
            return True
        return ALL_SCOPES in self.scopes or scope in self.scopes
