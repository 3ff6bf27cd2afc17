"""What erasing a visitor or a tenant does to analytics's tables; see `fleetkit.erasure`."""

from fleetdesk.analytics.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_OF_VISITOR = "visitor_id = %(visitor_id)s"
_NOBODY = "'00000000-0000-0000-0000-000000000000'"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        # The figures stay as they were; nobody can be found by them any more.
        Table("cost_entry", of_visitor=_OF_VISITOR, blank="visitor_id = null"),
        Table("cost_call"),
        Table("turn", of_visitor=_OF_VISITOR, blank=f"visitor_id = {_NOBODY}"),
        Table("conversation_event", of_visitor=_OF_VISITOR, blank="visitor_id = null"),
        # Figures only.
        Table("experiment_turn"),
        Table("hour_mark"),
        Table("turn_hour"),
        Table("conversation_hour"),
        Table("cost_hour"),
        Table("unit_hour"),
        Table("frame_batch"),
        Table("caching_alert"),
        Table("conversation", of_visitor=_OF_VISITOR, blank="visitor_id = null"),
    ),
)
