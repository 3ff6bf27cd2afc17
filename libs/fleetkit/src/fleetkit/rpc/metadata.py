"""The names and encodings of fleet metadata on a call."""

import json
from uuid import UUID

from fleetkit.context import Attribution
from fleetkit.errors import InvalidArgument

IDENTITY = "fd-identity"
CALLER = "fd-caller"
ATTRIBUTION = "fd-attribution-bin"
TRACEPARENT = "traceparent"
# gRPC's own grpc-timeout may say up to 3 % more than was asked for (its compression reuses earlier
# values), so that a callee would not know when its caller stops waiting.
TIMEOUT_MS = "fd-timeout-ms"

_ID_FIELDS = ("message_id", "conversation_id", "agent_id", "visitor_id", "knowledge_document_id")
_MAX_PURPOSE_CHARS = 64


def encode_attribution(attribution: Attribution) -> bytes:
    """Compact JSON with the fields that are set; b"" when none is."""
    fields = {
        name: str(getattr(attribution, name))
        for name in _ID_FIELDS
        if getattr(attribution, name) is not None
    }
    if attribution.purpose:
        fields["purpose"] = attribution.purpose
    return json.dumps(fields, separators=(",", ":")).encode() if fields else b""


def decode_attribution(value: str | bytes | None) -> Attribution:
    """The attribution of a call; InvalidArgument when malformed. Unknown fields are ignored."""
    if not value:
        return Attribution()
    try:
        fields = json.loads(value)
        ids = {name: UUID(fields[name]) for name in _ID_FIELDS if name in fields}
        purpose = str(fields.get("purpose", ""))[:_MAX_PURPOSE_CHARS]
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidArgument("the attribution is malformed", field=ATTRIBUTION) from error
    return Attribution(purpose=purpose, **ids)
