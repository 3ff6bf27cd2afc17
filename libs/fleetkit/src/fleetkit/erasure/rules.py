"""What erasure does to each table of a service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Table:
    """What erasure does to a table with a tenant.

    of_visitor  condition of the rows that are about a visitor, with `%(visitor_id)s` and
                `%(conversation_ids)s`; "" when no row is
    blank       assignments that make those rows anonymous; "" deletes them
    kept        why the rows outlive their tenant; "" when they are deleted with it
    of_anyone   condition of the kept rows that name a visitor: `blank` is applied to those when
                their tenant is erased
    """

    name: LiteralString
    of_visitor: LiteralString = ""
    blank: LiteralString = ""
    kept: str = ""
    of_anyone: LiteralString = ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The rules of a service, in an order that foreign keys allow.

    `completed`: its own event, which carries `erasure_id` and `counts`. `has_blobs`: whether a
    tenant's blobs go with it.
    """

    completed: type[Message]
    tables: Sequence[Table]
    has_blobs: bool = False

    @property
    def all_tables(self) -> Sequence[Table]:
        """With those that every service has."""
        return [*self.tables, *SHARED]


# "outbox" and "inbox" hold ids only and age out; a tenant's events go when its erasure is finished.
SHARED: Sequence[Table] = (
    Table(
        "dead_letter",
        of_visitor=(
            "position(%(visitor_id)s::text in body) > 0 or exists (select from"
            " unnest(%(conversation_ids)s::uuid[]) id where position(id::text in body) > 0)"
        ),
    ),
    Table(
        "revision_seen",
        of_visitor=(
            "aggregate_id = %(visitor_id)s::text"
            " or aggregate_id = any(%(conversation_ids)s::uuid[]::text[])"
        ),
    ),
    Table("tombstone", kept="hashes of what was erased, so that late events do nothing"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be erased: a visitor with its conversations, or without one the whole tenant.

    `erase_time` is by the fleet clock: what happened before it is gone.
    """

    tenant_id: UUID
    erasure_id: UUID
    visitor_id: UUID | None
    conversation_ids: tuple[UUID, ...]
    erase_time: datetime

    @property
    def ids(self) -> list[tuple[str, UUID]]:
        """What has to be known as erased, by kind."""
        if self.visitor_id is None:
            return [("tenant", self.tenant_id)]
        conversations = [("conversation", one) for one in self.conversation_ids]
        return [("visitor", self.visitor_id), *conversations]
