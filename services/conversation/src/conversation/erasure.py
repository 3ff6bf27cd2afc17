"""What erasing a visitor or a tenant does to conversation's tables; see `fleetkit.erasure`."""

from typing import LiteralString

from fleetdesk.conversation.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

# Beside those that are named: one that began meanwhile.
_CONVERSATIONS: LiteralString = (
    "select conversation_id from conversation"
    " where tenant_id = %(tenant_id)s and visitor_id = %(visitor_id)s"
)

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table("observation", of_visitor=f"conversation_id in ({_CONVERSATIONS})"),
        Table("turn_events", of_visitor=f"conversation_id in ({_CONVERSATIONS})"),
        Table("message", of_visitor=f"conversation_id in ({_CONVERSATIONS})"),
        Table("conversation", of_visitor="visitor_id = %(visitor_id)s"),
        Table("visitor", of_visitor="visitor_id = %(visitor_id)s"),
        Table("request", of_visitor="result_id = any(%(conversation_ids)s)"),
        Table("agent_version"),
        Table("agent"),
    ),
)
