"""What erasing a visitor or a tenant does to the gateway's tables; see `fleetkit.erasure`."""

from fleetdesk.gateway.v1 import events_pb2
from fleetkit.erasure import Erasure, Table

_RECEIPT = "says what was erased and when: counts only"

ERASURE = Erasure(
    completed=events_pb2.ErasureCompleted,
    tables=(
        Table("session"),
        Table("api_key"),
        Table("widget"),
        Table("idempotency_key", of_visitor="subject = %(visitor_id)s::text"),
        Table("audit_log"),
        Table("invitation"),
        Table("user_account"),
        Table("tenant"),
        Table("erasure", kept=_RECEIPT),
        Table("erasure_answer", kept=_RECEIPT),
    ),
)
