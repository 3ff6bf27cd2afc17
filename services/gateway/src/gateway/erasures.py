"""Erasures: asked for by a tenant, answered by every service, shown on a receipt."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetdesk.gateway.v1.events_pb2 import ErasureRequested
from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.events import publish, tombstones
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
    """Shuts a visitor out at once and asks all services to erase it with its conversations.

    NotFound for no such visitor; FailedPrecondition when it has more than 10,000 conversations.
    """
    wanted = pb.GetVisitorRequest(visitor_id=str(visitor_id))
    found = await call(parts.clients.conversations.GetVisitor, wanted)
    event = ErasureRequested(visitor_id=str(visitor_id), conversation_ids=found.conversation_ids)
    return await _request(parts, principal, "visitor", event, client_ip)


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
    return await _request(parts, principal, "tenant", ErasureRequested(), client_ip)


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
    parts: Parts, principal: Principal, kind: str, event: ErasureRequested, client_ip: str
) -> Requested:
    """Writes the erasure down, with the tombstones by which tokens of the erased are refused."""
    tenant_id, token = principal.tenant_id, secrets.token_urlsafe(32)
    async with parts.db.tenant(tenant_id) as conn:
        row = store.ErasureRow(new_id(), kind, conn.now(), None)
        event.erasure_id = str(row.erasure_id)
        await store.insert_erasure(conn, tenant_id, row)
        await tombstones.keep(conn, tenant_id, _erased_by(tenant_id, event), row.request_time)
        if kind == "tenant":
            await store.forget_all_credentials(conn, tenant_id)
        await accounts.index_credential(conn, "erasure", sha256(token), tenant_id, row.erasure_id)
        actor = audit.actor_of(principal, client_ip)
        await audit.record(conn, tenant_id, actor, "erasure.requested", event.erasure_id)
        await publish(conn, event, revision=1)
    parts.authenticator.forget_visitors(tenant_id)
    return Requested(Erasure(row, ()), token)


def _erased_by(tenant_id: UUID, event: ErasureRequested) -> list[tuple[str, UUID]]:
    """The ids that are erased with it, by kind."""
    if not event.visitor_id:
        return [("tenant", tenant_id)]
    conversations = [("conversation", UUID(one)) for one in event.conversation_ids]
    return [("visitor", UUID(event.visitor_id)), *conversations]
