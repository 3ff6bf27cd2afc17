"""A whole fleet in the test's process, behind its public door, and people who use it."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from argon2 import PasswordHasher
from fakes.neighbours import FakeNeighbours
from fleetkit.ids import new_id
from gateway.auth.principal import Role
from gateway.auth.sign_in import begin_session
from gateway.auth.tokens import csrf_token_of
from gateway.cookies import cookie_name
from gateway.parts import STATE_KEY, Parts
from gateway.store import accounts
from llm_gateway.config import OpenAiEndpoint

from harness.services import Running
from harness.waiting import eventually

PASSWORD = "correct horse battery"
NOWHERE = "127.0.0.1:9"
_ENDPOINTS = tuple(
    OpenAiEndpoint(name=name, base_url=f"http://{NOWHERE}") for name in ("openai", "gemini")
)
_CALLED = ("conversation", "retrieval", "llm_gateway", "billing", "analytics", "vision_agent")


@dataclass(slots=True)
class Company:
    """A tenant that signed up, and its first key."""

    tenant_id: UUID
    user_id: UUID
    agent_id: UUID
    api_key: str
    email: str

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of a request with the key."""
        return {"Authorization": f"Bearer {self.api_key}"}


@dataclass(slots=True)
class Desk:
    """The fleet; `client` speaks to the gateway and remembers no cookies."""

    gateway: Running
    client: httpx.AsyncClient
    services: dict[str, Running] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """What the gateway is made of; a test may look inside."""
        edge: Any = self.gateway.rt._http[0]._app
        return edge._app.state[STATE_KEY]

    def forget_limits(self) -> None:
        """Makes the gateway forget how often anybody has asked."""
        self.parts.limiter._empty_at.clear()

    async def sign_up(self, email: str | None = None, company: str = "Acme") -> Company:
        """A new tenant."""
        email = email or f"{uuid4().hex[:12]}@acme.example"
        body = {"email": email, "password": PASSWORD, "company": company}
        answer = await self.client.post("/v1/signup", json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return Company(
            UUID(made["tenant_id"]),
            UUID(made["user_id"]),
            UUID(made["agent_id"]),
            made["api_key"],
            email,
        )

    async def sign_in(self, company: Company) -> dict[str, str]:
        """The headers of a signed-in person: cookie and CSRF token."""
        body = {"email": company.email, "password": PASSWORD}
        answer = await self.client.post("/v1/login", json=body)
        assert answer.status_code == 200, answer.text
        cookie = answer.headers["set-cookie"].partition(";")[0]
        self.client.cookies.clear()
        return {"Cookie": cookie, "X-CSRF-Token": answer.json()["csrf_token"]}

    async def sign_in_new(self, company: Company, role: Role) -> dict[str, str]:
        """The headers of another person of the company, signed in."""
        user_id = new_id()
        user = accounts.UserRow(
            user_id=user_id,
            tenant_id=company.tenant_id,
            email=f"{user_id}@acme.example",
            password_hash="none",
            role=role.label,
            verify_time=None,
            create_time=self.gateway.rt.clock.now(),
        )
        async with self.gateway.db.tenant(company.tenant_id) as conn:
            await accounts.insert_user(conn, user)
        made = await begin_session(self.gateway.db, company.tenant_id, user_id, "127.0.0.1")
        cookie = f"{cookie_name(self.gateway.rt.settings)}={made.token}"
        return {"Cookie": cookie, "X-CSRF-Token": csrf_token_of(made.token)}

    async def key(self, company: Company, role: str, *scopes: str) -> dict[str, str]:
        """The headers of a new key with that role and those scopes (all without any)."""
        body = {"name": "test", "role": role, "scopes": list(scopes) or ["*"]}
        answer = await self.client.post("/v1/api-keys", json=body, headers=company.bearer)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['api_key']}"}

    async def teach(self, company: Company, title: str, text: str) -> str:
        """A text that can be found; its document's id."""
        body = {"type": "text", "title": title, "text": text}
        answer = await self.client.post("/v1/knowledge/sources", json=body, headers=company.bearer)
        assert answer.status_code == 201, answer.text
        path = f"/v1/knowledge/sources/{answer.json()['source_id']}"

        async def ended() -> Any:
            source = (await self.client.get(path, headers=company.bearer)).json()
            return source if source["status"] in ("ready", "failed") else None

        source = await eventually(ended, timeout_s=60)
        assert source["status"] == "ready", source
        return source["document_id"]

    async def caught_up(self, company: Company) -> None:
        """Waits until analytics and billing know what happened up to now."""
        models, conversation = self.services["llm-gateway"], self.services["conversation"]
        analytics, billing = self.services["analytics"], self.services["billing"]
        tenant_id = company.tenant_id

        async def known() -> bool:
            spent = "select count(*) as n from {} where tenant_id = %s"
            events = (
                "select event_id from {} where tenant_id = %s and {} like"
                " '%%conversation.v1.message_completed%%' order by 1"
            )
            happened = await conversation.rows(events.format("outbox", "subject"), tenant_id)
            return (
                await models.rows(spent.format("usage_entry"), tenant_id)
                == await analytics.rows(spent.format("cost_entry"), tenant_id)
                and happened == await analytics.rows(events.format("inbox", "subject"), tenant_id)
                and happened == await billing.rows(events.format("inbox", "subject"), tenant_id)
            )

        await eventually(known, timeout_s=30)

    async def begin(self, company: Company) -> tuple[str, dict[str, str]]:
        """A conversation, and the headers of its visitor."""
        answer = await self.client.post(
            "/v1/conversations", json={"agent_id": str(company.agent_id)}, headers=company.bearer
        )
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return made["conversation_id"], {"Authorization": f"Bearer {made['visitor_token']}"}


@asynccontextmanager
async def bare_gateway(start: Callable[..., Any], **settings: Any) -> AsyncIterator[Desk]:
    """The gateway alone; the services it calls are away."""
    addresses = {f"{name}_address": NOWHERE for name in _CALLED}
    gateway = await start("gateway", http_bind="127.0.0.1:0", **{**addresses, **settings})
    async with _client(gateway) as client:
        yield _with_cheap_passwords(Desk(gateway, client))


@asynccontextmanager
async def whole_fleet(
    start: Callable[..., Any],
    model_cache: Path,
    models: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """Every service, each with its own database, talking over real sockets.

    `settings` are the gateway's, `models` those of llm-gateway.
    """
    running: dict[str, Running] = {}
    running["llm-gateway"] = await start(
        "llm-gateway",
        **{
            "embed_workers": 1,
            "model_cache_dir": model_cache,
            # A key that a test sets is tried: here, and by nobody outside.
            "anthropic_base_url": f"http://{NOWHERE}",
            "cohere_base_url": f"http://{NOWHERE}",
            "voyage_base_url": f"http://{NOWHERE}",
            "openai_endpoints": _ENDPOINTS,
            **(models or {}),
        },
    )
    llm_gateway = running["llm-gateway"].address
    running["retrieval"] = await start(
        "retrieval", parse_workers=1, llm_gateway_address=llm_gateway
    )
    running["memory"] = await start("memory")
    running["billing"] = await start("billing", default_plan="development")
    running["analytics"] = await start("analytics")
    addresses = {
        f"{name.replace('-', '_')}_address": service.address for name, service in running.items()
    }
    running["conversation"] = await start("conversation", **addresses)
    addresses["conversation_address"] = running["conversation"].address
    # Tests send frames faster than people look.
    running["vision-agent"] = await start("vision-agent", min_frame_interval_ms=0, **addresses)
    addresses["vision_agent_address"] = running["vision-agent"].address
    gateway = await start(
        "gateway",
        http_bind="127.0.0.1:0",
        default_plan="development",
        **{**addresses, **settings},
    )
    async with _client(gateway) as client:
        yield _with_cheap_passwords(Desk(gateway, client, running))


@asynccontextmanager
async def scripted_fleet(
    start: Callable[..., Any], neighbours: FakeNeighbours, **settings: Any
) -> AsyncIterator[Desk]:
    """The fleet, but that retrieval and the model follow a script."""
    running = {
        "billing": await start("billing", default_plan="development"),
        "memory": await start("memory"),
        "analytics": await start("analytics"),
    }
    addresses = {
        **neighbours.settings,
        **{f"{name}_address": service.address for name, service in running.items()},
    }
    running["conversation"] = await start("conversation", **addresses)
    addresses["conversation_address"] = running["conversation"].address
    addresses["vision_agent_address"] = NOWHERE
    gateway = await start(
        "gateway",
        http_bind="127.0.0.1:0",
        default_plan="development",
        **{**addresses, **settings},
    )
    async with _client(gateway) as client:
        yield _with_cheap_passwords(Desk(gateway, client, running))


def _with_cheap_passwords(desk: Desk) -> Desk:
    """Hashing as it should be takes most of a test's time."""
    desk.parts.passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return desk


def _client(gateway: Running) -> httpx.AsyncClient:
    # What is asked without TLS need not read the certificates of this machine.
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=gateway.http_url, trust_env=False, timeout=60, verify=nobody)
