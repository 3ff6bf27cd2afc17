"""What erasing a visitor or a tenant does to llm-gateway's tables; see `fleetkit.erasure`."""

from fleetdesk.llm_gateway.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

# Conversations' windows, too: whose they were can be told from their ids.
_TARGET = "target_id = %(visitor_id)s or target_id = any(%(conversation_ids)s::uuid[])"
_OF_VISITOR = "visitor_id = %(visitor_id)s"
_NAMELESS = "visitor_id = null"
_OF_ANYONE = "visitor_id is not null"
_MONEY = "the ledger of what was paid for; it names no person and holds no text"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table(
            "cached_response",
            of_visitor=(
                "visitor_id = %(visitor_id)s or conversation_id = any(%(conversation_ids)s::uuid[])"
            ),
        ),
        Table("budget_window", of_visitor=_TARGET),
        Table("budget", of_visitor=_TARGET),
        Table("budget_setting"),
        Table("own_price"),
        Table("provider_key"),
        Table("usage_entry", _OF_VISITOR, _NAMELESS, _MONEY, _OF_ANYONE),
        Table("usage_call", _OF_VISITOR, _NAMELESS, _MONEY, _OF_ANYONE),
    ),
)
