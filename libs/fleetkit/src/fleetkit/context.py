"""Who the current work is for: the call context, carried by contextvars through one task.

The RPC server binds it from the verified tokens of a request; the gateway binds it after
authenticating a person (`fleetkit.rpc.identity.acting_as`); consumers and jobs bind it with
`background`. The RPC client reads it for every outgoing call.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from fleetkit.errors import Unauthenticated
from fleetkit.telemetry import Span, new_span, parse_traceparent

Kind = Literal["user", "api_key", "visitor"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, API key or visitor that the gateway authenticated.

    `subject` is the user id, key id or visitor id. A visitor has the role "visitor" and is bound
    to `conversation_id`.
    """

    tenant_id: UUID
    subject: str
    kind: Kind
    roles: frozenset[str]
    conversation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a cost is for; stands on every ledger row that the work causes."""

    purpose: str = ""
    message_id: UUID | None = None
    conversation_id: UUID | None = None
    agent_id: UUID | None = None
    visitor_id: UUID | None = None
    knowledge_document_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class CallContext:
    """The verified facts of the work at hand; `caller` is "" where no service called."""

    tenant_id: UUID | None = None
    caller: str = ""
    identity: Identity | None = None
    identity_token: str | None = None
    attribution: Attribution = field(default_factory=Attribution)
    span: Span | None = None
    deadline: float | None = None

    @property
    def trace_id(self) -> str:
        """The W3C trace id, 32 hex digits; "" outside any call."""
        return self.span.trace_id if self.span else ""


_current: ContextVar[CallContext | None] = ContextVar("fleetkit_call_context", default=None)


def current() -> CallContext:
    """The call context of this task; an empty one outside any call."""
    return _current.get() or CallContext()


def tenant_id() -> UUID:
    """The tenant of the work at hand; Unauthenticated when there is none."""
    tenant = current().tenant_id
    if tenant is None:
        raise Unauthenticated("this call needs a tenant", reason="TENANT_REQUIRED")
    return tenant


def identity() -> Identity:
    """The person, key or visitor of the work at hand; Unauthenticated when there is none."""
    person = current().identity
    if person is None:
        raise Unauthenticated("this call needs a person", reason="IDENTITY_REQUIRED")
    return person


def remaining_s() -> float | None:
    """Real seconds until the deadline of the work at hand, not below 0; None without a deadline."""
    deadline = current().deadline
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def bind(context: CallContext) -> None:
    """Makes `context` the call context of this task for good; for servers that own the task."""
    _current.set(context)


@contextmanager
def bound(context: CallContext) -> Iterator[CallContext]:
    """Makes `context` the call context inside the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


@contextmanager
def background(
    tenant_id: UUID | None,
    attribution: Attribution | None = None,
    *,
    traceparent: str | None = None,
) -> Iterator[CallContext]:
    """Work without a person: outgoing calls carry the tenant in fd-caller.

    Keeps the trace of `traceparent`, else of the surrounding work, else starts a new one; drops
    the surrounding identity and deadline.
    """
    parent = parse_traceparent(traceparent) or current().span
    context = CallContext(
        tenant_id=tenant_id, attribution=attribution or Attribution(), span=new_span(parent)
    )
    with bound(context):
        yield context


@contextmanager
def attributed(attribution: Attribution) -> Iterator[CallContext]:
    """Replaces the attribution of outgoing calls inside the block."""
    with bound(replace(current(), attribution=attribution)) as context:
        yield context


@contextmanager
def deadline_in(seconds: float) -> Iterator[CallContext]:
    """Gives the work inside the block at most `seconds`; never extends an earlier deadline."""
    deadline = time.monotonic() + seconds
    before = current()
    if before.deadline is not None:
        deadline = min(deadline, before.deadline)
    with bound(replace(before, deadline=deadline)) as context:
        yield context
