"""Bodies of sign-up, sign-in, /v1/me and API keys."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from gateway.auth.passwords import MAX_CHARS, MIN_CHARS
from gateway.auth.principal import ALL_SCOPES, SCOPES
from gateway.shapes.common import SomeName, described

Password = Annotated[str, Meta(max_length=1024)]
NewPassword = Annotated[str, described(minLength=MIN_CHARS, maxLength=MAX_CHARS)]
Scope = Annotated[str, described(enum=[ALL_SCOPES, *SCOPES])]
KeyRole = Literal["viewer", "agent", "admin"]


class SignUpRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A company that signs up, and its first person."""

    email: Annotated[str, described(format="email"), Meta(min_length=3, max_length=254)]
    password: NewPassword
    company: Annotated[SomeName, Meta(max_length=120)]


class SignUpResponse(Struct, frozen=True):
    """What was made. The API key is shown this once."""

    tenant_id: UUID
    user_id: UUID
    agent_id: UUID
    api_key: str


class LoginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs in."""

    email: Annotated[str, Meta(max_length=254)]
    password: Password


class LoginResponse(Struct, frozen=True):
    """Who is signed in; the session itself is in the cookie.

    Unsafe requests that use the cookie send `csrf_token` in the header X-CSRF-Token.
    """

    tenant_id: UUID
    user_id: UUID
    csrf_token: str


class Me(Struct, frozen=True):
    """Who asks: a person by session or an API key."""

    kind: Literal["user", "api_key"]
    tenant_id: UUID
    subject: str
    role: str
    company: str
    scopes: list[str]
    email: str | None = None
    email_verified: bool | None = None
    csrf_token: str | None = None


class ApiKey(Struct, frozen=True):
    """An API key, without the key: `prefix` tells keys apart."""

    key_id: UUID
    name: str
    prefix: str
    role: str
    scopes: list[str]
    create_time: datetime
    expire_time: datetime | None
    last_used_time: datetime | None


class ApiKeyList(Struct, frozen=True):
    """Keys that may be used, oldest first."""

    items: list[ApiKey]
    next_page_token: str


class CreateApiKeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make. Without `scopes` it may do all that its role allows."""

    name: Annotated[SomeName, Meta(max_length=80)]
    role: KeyRole = "agent"
    scopes: Annotated[list[Scope], described(minItems=1), Meta(max_length=32)] = field(
        default_factory=lambda: [ALL_SCOPES]
    )
    expire_time: Annotated[datetime, described(format="date-time")] | None = None


class CreatedApiKey(Struct, frozen=True):
    """A new key. `api_key` is shown this once."""

    api_key: str
    key: ApiKey
