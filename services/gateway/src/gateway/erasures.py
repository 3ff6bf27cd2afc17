"""Erasures: asked for by a tenant, answered by every service, shown on a receipt."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetdesk.gateway.v1.events_pb2 import ErasureRequested
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database

from gateway import audit
from gateway.auth.principal import Principal
from gateway.auth.tokens import sha256
from gateway.clients import call
from gateway.parts import Parts
from gateway.store import accounts
from gateway.store import erasures as store

# Every service that keeps anything of a tenant, as its events name it.
ANSWERING = (
    "analytics",
    "billing",
    "conversation",
    "gateway",
    "llm_gateway",
    "memory",
    "retrieval",
    "vision_agent",
)
_PAGE = 200
# The ids travel in one event.
_MOST_CONVERSATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure, and what the services have answered so far."""

    row: store.ErasureRow
    answers: Sequence[store.AnswerRow]

    @property
    def waiting(self) -> list[str]:
        """The services that have not answered."""
        answered = {answer.service for answer in self.answers}
        return [service for service in ANSWERING if service not in answered]


@dataclass(frozen=True, slots=True)
class Requested:
    """An erasure that begins; the token of its receipt is kept nowhere."""

    erasure: Erasure
    token: str = field(repr=False)


async def erase_visitor(
    parts: Parts, principal: Principal, visitor_id: UUID, client_ip: str
) -> Requested:
    """Asks all services to erase a visitor and its conversations; NotFound for no such visitor."""
    conversation_ids = await _conversations_of(parts, visitor_id)
    if not conversation_ids:
        raise NotFound("there is no such visitor", field="visitor_id")
    event = ErasureRequested(visitor_id=str(visitor_id), conversation_ids=conversation_ids)
    return await _request(parts.db, principal, "visitor", event, client_ip)


async def erase_tenant(
    parts: Parts, principal: Principal, confirm: str, client_ip: str
) -> Requested:
    """Ends every access to the tenant at once and asks all services to erase it.

    InvalidArgument unless `confirm` is the company's name.
    """
    if confirm.strip() != principal.company.strip():
        raise InvalidArgument(
            f"type the company's name, “{principal.company}”, to delete it; nothing was deleted",
            field="confirm",
        )
    return await _request(parts.db, principal, "tenant", ErasureRequested(), client_ip)


async def erasure_of_receipt(db: Database, token: str) -> Erasure:
    """The erasure that a receipt's token opens; NotFound."""
    async with db.fleet() as conn:
        found = await accounts.credential_owner(conn, "erasure", sha256(token))
    if found is None:
        raise NotFound("there is no such receipt", field="token")
    return await get_erasure(db, *found)


async def get_erasure(db: Database, tenant_id: UUID, erasure_id: UUID) -> Erasure:
    """An erasure of the tenant; NotFound."""
    async with db.tenant(tenant_id) as conn:
        row = await store.erasure(conn, tenant_id, erasure_id)
        if row is None:
            raise NotFound("there is no such erasure", field="erasure_id")
        return Erasure(row, await store.answers(conn, tenant_id, [erasure_id]))


async def list_erasures(db: Database, tenant_id: UUID, limit: int, before: UUID) -> list[Erasure]:
    """The tenant's erasures, newest first, those before `before`."""
    async with db.tenant(tenant_id) as conn:
        rows = await store.erasures(conn, tenant_id, limit, before)
        answers = await store.answers(conn, tenant_id, [row.erasure_id for row in rows])
    return [
        Erasure(row, [answer for answer in answers if answer.erasure_id == row.erasure_id])
        for row in rows
    ]


async def _request(
    db: Database, principal: Principal, kind: str, event: ErasureRequested, client_ip: str
) -> Requested:
    tenant_id, token = principal.tenant_id, secrets.token_urlsafe(32)
    async with db.tenant(tenant_id) as conn:
        row = store.ErasureRow(new_id(), kind, conn.now(), None)
        event.erasure_id = str(row.erasure_id)
        await store.insert_erasure(conn, tenant_id, row)
        if kind == "tenant":
            await store.forget_all_credentials(conn, tenant_id)
        await accounts.index_credential(conn, "erasure", sha256(token), tenant_id, row.erasure_id)
        actor = audit.actor_of(principal, client_ip)
        await audit.record(conn, tenant_id, actor, "erasure.requested", event.erasure_id)
        await publish(conn, event, revision=1)
    return Requested(Erasure(row, ()), token)


async def _conversations_of(parts: Parts, visitor_id: UUID) -> list[str]:
    found: list[str] = []
    page_token = ""
    while len(found) <= _MOST_CONVERSATIONS:
        wanted = pb.ListConversationsRequest(
            visitor_id=str(visitor_id), page_size=_PAGE, page_token=page_token
        )
        page = await call(parts.clients.conversations.ListConversations, wanted)
        found += [one.conversation_id for one in page.conversations]
        page_token = page.next_page_token
        if not page_token:
            return found
    raise FailedPrecondition(
        f"the visitor has more than {_MOST_CONVERSATIONS} conversations",
        reason="TOO_MANY_CONVERSATIONS",
    )
