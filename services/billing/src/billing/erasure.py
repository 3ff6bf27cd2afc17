"""What erasing a visitor or a tenant does to billing's tables; see `fleetkit.erasure`."""

from fleetdesk.billing.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_MONEY = "what was used and owed; ids of conversations, none of persons"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table("subscription", kept=_MONEY),
        Table("usage_ledger", kept=_MONEY),
        Table("counted_conversation", kept=_MONEY),
        Table("reservation", of_visitor="conversation_id = any(%(conversation_ids)s)"),
    ),
)
