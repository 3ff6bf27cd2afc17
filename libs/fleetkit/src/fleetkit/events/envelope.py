"""The form of an event on the bus: subject, CloudEvents 1.0 headers, canonical proto-JSON body."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from fleetkit.errors import InvalidArgument

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class EventMeta:
    """What a handler may want to know of an event beside its message.

    `revision` is that of the event's aggregate: a handler drops what is older than what it has.
    `deliveries` counts from 1.
    """

    event_id: UUID
    tenant_id: UUID
    type: str
    subject: str
    occur_time: datetime
    revision: int
    deliveries: int = 1
    traceparent: str | None = None


def event_subject(full_name: str, tenant: str) -> str:
    """The subject of an event type for a tenant, or for all of them with "*".

    "fleetdesk.gateway.v1.TenantCreated" → "fleetdesk.gateway.v1.tenant_created.<tenant>".
    """
    package, _, name = full_name.rpartition(".")
    return f"{package}.{_WORD_START.sub('_', name).lower()}.{tenant}"


def stream_of(full_name: str) -> str:
    """The stream that holds an event type: one for each producer.

    "fleetdesk.llm_gateway.v1.UsageRecorded" → "FLEETDESK_LLM_GATEWAY".
    """
    return "_".join(full_name.split(".")[:2]).upper()


def cloud_event_headers(
    *, event_id: UUID, event_type: str, tenant_id: UUID, occur_time: datetime
) -> dict[str, str]:
    """CloudEvents 1.0 in binary mode; `Nats-Msg-Id` makes the stream drop a second publishing."""
    return {
        "Nats-Msg-Id": str(event_id),
        "ce-id": str(event_id),
        "ce-source": "/" + "/".join(event_type.split(".")[:2]),
        "ce-specversion": "1.0",
        "ce-subject": str(tenant_id),
        "ce-time": occur_time.astimezone(UTC).isoformat(timespec="microseconds"),
        "ce-type": event_type,
        "content-type": "application/json",
    }


def to_body(event: Message) -> str:
    """Canonical proto JSON: camelCase names, 64-bit integers as strings."""
    return json_format.MessageToJson(event, indent=None)


def message_type(full_name: str) -> type[Message]:
    """The generated class of an event; KeyError when no proto of that package declares it."""
    package = full_name.rpartition(".")[0]
    # Its import is what registers the messages; events live in events.proto of each package.
    importlib.import_module(f"{package}.events_pb2")
    found: Descriptor = Default().FindMessageTypeByName(full_name)
    return GetMessageClass(found)


def parse(
    *, subject: str, headers: Mapping[str, str], body: bytes, deliveries: int
) -> tuple[Message, EventMeta]:
    """Reads an event from the bus, ignoring fields that this program does not know.

    InvalidArgument when it is not an event, or when subject, headers and body disagree on its
    tenant or id.
    """
    try:
        full_name = headers["ce-type"]
        event = message_type(full_name)()
        json_format.Parse(body, event, ignore_unknown_fields=True)
        meta = _meta(event, subject, headers, deliveries)
    except (KeyError, ValueError, ImportError, json_format.ParseError) as error:
        raise InvalidArgument("not an event of the fleet", reason="EVENT_MALFORMED") from error
    if subject != event_subject(full_name, str(meta.tenant_id)):
        raise InvalidArgument("subject and event disagree", reason="EVENT_MALFORMED")
    if headers.get("ce-id") != str(meta.event_id):
        raise InvalidArgument("headers and event disagree", reason="EVENT_MALFORMED")
    return event, meta


def tenant_of_subject(subject: str) -> UUID | None:
    """The tenant that a subject ends with; None when it does not."""
    try:
        return UUID(subject.rpartition(".")[2])
    except ValueError:
        return None


def _meta(event: Message, subject: str, headers: Mapping[str, str], deliveries: int) -> EventMeta:
    values = {field.name: value for field, value in event.ListFields()}
    return EventMeta(
        event_id=UUID(values["event_id"]),
        tenant_id=UUID(values["tenant_id"]),
        type=headers["ce-type"],
        subject=subject,
        occur_time=values["occur_time"].ToDatetime(tzinfo=UTC),
        revision=values.get("revision", 0),
        deliveries=deliveries,
        traceparent=headers.get("traceparent"),
    )
