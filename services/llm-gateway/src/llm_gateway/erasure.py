"""What erasing a visitor or a tenant does to llm-gateway's tables; see `fleetkit.erasure`."""

from fleetdesk.llm_gateway.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_NAMELESS = "visitor_id = null"
_MONEY = "the ledger of what was paid for; it names no person and holds no text"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table(
            "usage_entry", of_visitor="visitor_id = %(visitor_id)s", blank=_NAMELESS, kept=_MONEY
        ),
        Table("usage_call", of_visitor="visitor_id = %(visitor_id)s", blank=_NAMELESS, kept=_MONEY),
    ),
)
