"""What erasing a visitor or a tenant does to vision-agent's tables; see `fleetkit.erasure`."""

from fleetdesk.vision_agent.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_OF_CONVERSATIONS = "conversation_id = any(%(conversation_ids)s)"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table("type_transition", of_visitor=_OF_CONVERSATIONS),
        Table("frame_count", of_visitor=_OF_CONVERSATIONS),
        Table("frame_session", of_visitor=_OF_CONVERSATIONS),
    ),
)
