"""Fields of requests and responses that every service has: ids and times."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from fleetkit.errors import InvalidArgument


def to_uuid(text: str, field: str) -> UUID:
    """The id in a request; InvalidArgument naming the field when it is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidArgument(f"{field} is not a UUID", field=field) from error


def to_optional_uuid(text: str, field: str) -> UUID | None:
    """The id in a request, None where it is empty; InvalidArgument naming the field."""
    return to_uuid(text, field) if text else None


def to_time(message: Message, name: str, field: str = "") -> datetime:
    """The time `name` of a message; InvalidArgument where it is unset or no time.

    The error names `field`, for a message inside a request.
    """
    time = to_optional_time(message, name, field)
    if time is None:
        raise InvalidArgument(f"{field or name} is not set", field=field or name)
    return time


def to_optional_time(message: Message, name: str, field: str = "") -> datetime | None:
    """The time `name` of a message, None where it is unset; InvalidArgument when it is none."""
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"{field or name} is not a time", field=field or name) from error


def timestamp(time: datetime) -> Timestamp:
    """A time as the protos have it."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def optional_timestamp(time: datetime | None) -> Timestamp | None:
    """A time as the protos have it; None stays unset."""
    return None if time is None else timestamp(time)
