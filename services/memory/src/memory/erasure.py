"""What erasing a visitor or a tenant does to memory's tables; see `fleetkit.erasure`."""

from fleetdesk.memory.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_OF_CONVERSATIONS = "conversation_id = any(%(conversation_ids)s)"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table("turn", of_visitor=f"visitor_id = %(visitor_id)s or {_OF_CONVERSATIONS}"),
        Table("cleared_conversation", of_visitor=_OF_CONVERSATIONS),
    ),
)
