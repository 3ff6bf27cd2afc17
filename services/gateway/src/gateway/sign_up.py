"""Signing up: a tenant, its owner, its first agent and key, then plan and agent elsewhere."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fleetdesk.billing.v1.billing_service_pb2 import EnsureSubscriptionRequest
from fleetdesk.conversation.v1.agent_pb2 import AgentConfig, Preset
from fleetdesk.conversation.v1.agent_service_pb2 import CreateAgentRequest
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.context import Identity
from fleetkit.errors import AlreadyExists, DeadlineExceeded, InvalidArgument, Unavailable
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.postgres import FleetConnection, remember_tenant
from fleetkit.rpc.identity import acting_as

from gateway import audit
from gateway.auth.emails import normalized_email
from gateway.auth.keys import NewKey, insert_key
from gateway.auth.passwords import check_password
from gateway.auth.principal import ALL_SCOPES, Role
from gateway.auth.tokens import sha256
from gateway.clients import call
from gateway.parts import Parts
from gateway.store import accounts, widgets
from gateway.text import checked_name

_CALLS_S = 10.0
_NAME_CHARS = 80
_COMPANY_CHARS = 120


@dataclass(frozen=True, slots=True)
class SignedUp:
    """What a sign-up made; the API key is kept nowhere."""

    tenant_id: UUID
    user_id: UUID
    agent_id: UUID
    api_key: str = field(repr=False)


async def sign_up(
    parts: Parts, email: str, password: str, company: str, client_ip: str
) -> SignedUp:
    """Makes a tenant, its owner, its first agent's id and an API key, in one transaction.

    Subscription and agent are then made by the services that own them; where one of them is
    away, TenantCreated makes it do so later. InvalidArgument for a bad e-mail, password or
    name; AlreadyExists when the e-mail has an account.
    """
    email = normalized_email(email)
    check_password(password, email)
    company = checked_name(company, "company")
    if len(company) > _COMPANY_CHARS:
        raise InvalidArgument(
            f"company has {len(company)} characters: use at most {_COMPANY_CHARS}", field="company"
        )
    password_hash = await parts.passwords.hash(password)
    made = SignedUp(new_id(), new_id(), new_id(), "")
    now = parts.clock.now()
    async with parts.db.tenant(made.tenant_id) as conn:
        if not await accounts.index_credential(
            conn, "email", sha256(email), made.tenant_id, made.user_id
        ):
            raise AlreadyExists(
                "this e-mail has an account: sign in", field="email", reason="EMAIL_TAKEN"
            )
        await _insert_tenant(parts, conn, made, company, now)
        await accounts.insert_user(
            conn,
            accounts.UserRow(
                user_id=made.user_id,
                tenant_id=made.tenant_id,
                email=email,
                password_hash=password_hash,
                role=Role.OWNER.label,
                verify_time=now if parts.settings.verifies_at_once else None,
                create_time=now,
            ),
        )
        key = await insert_key(
            conn,
            made.tenant_id,
            NewKey("First key", Role.ADMIN, [ALL_SCOPES], str(made.user_id)),
        )
        actor = audit.Actor("user", str(made.user_id), client_ip)
        await audit.record(conn, made.tenant_id, actor, "tenant.signed_up", str(made.tenant_id))
    await _make_elsewhere(parts, made, company)
    return SignedUp(made.tenant_id, made.user_id, made.agent_id, key.api_key)


async def _insert_tenant(
    parts: Parts, conn: FleetConnection, made: SignedUp, company: str, now: datetime
) -> None:
    tenant_id, plan_id = made.tenant_id, parts.settings.default_plan
    await accounts.insert_tenant(
        conn, accounts.TenantRow(tenant_id, company, plan_id, made.agent_id, 1, now)
    )
    await accounts.index_credential(
        conn, "agent", sha256(str(made.agent_id)), tenant_id, made.agent_id
    )
    await widgets.insert_widget(conn, tenant_id, made.agent_id, now)
    await remember_tenant(conn, tenant_id)
    event = TenantCreated(agent_id=str(made.agent_id), plan_id=plan_id)
    await publish(conn, event, revision=1)


async def _make_elsewhere(parts: Parts, made: SignedUp, company: str) -> None:
    """Subscription and agent; both calls are idempotent, and repeated by event handlers."""
    owner = Identity(made.tenant_id, str(made.user_id), "user", frozenset({Role.OWNER.label}))
    subscription = EnsureSubscriptionRequest(
        request_id=str(made.tenant_id), plan_id=parts.settings.default_plan
    )
    agent = CreateAgentRequest(
        request_id=str(made.agent_id),
        agent_id=str(made.agent_id),
        config=first_agent(company),
        publish=True,
    )
    with acting_as(parts.keyring, owner, _CALLS_S):
        await asyncio.gather(
            _or_later(call(parts.clients.billing.EnsureSubscription, subscription), "billing"),
            _or_later(call(parts.clients.agents.CreateAgent, agent), "conversation"),
        )


async def _or_later(made: Awaitable[object], service: str) -> None:
    try:
        await made
    except (Unavailable, DeadlineExceeded) as error:
        # The tenant exists: its owner must get the key now. TenantCreated does the rest.
        get_logger().warning("sign_up_left_to_event", callee=service, exc_info=error)


def first_agent(company: str) -> AgentConfig:
    """The settings that a new tenant's agent begins with."""
    return AgentConfig(
        name=f"{company} Assistant"[:_NAME_CHARS],
        preset=Preset.PRESET_FRIENDLY,
        # As friendly means: choosing it on the page fills in the same.
        max_tokens=1024,
        temperature_millis=500,
        greeting=(
            "Hello! I am an AI assistant. Ask me anything; I answer from the documentation and "
            "say where it stands, and I fetch a person when I can't."
        ),
        prompt_caching=True,
        # Only offered: each visitor decides, and is told first what is sent.
        screen_sharing=True,
    )
