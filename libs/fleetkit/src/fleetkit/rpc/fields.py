"""Fields of requests and responses that every service has: ids and times."""

from datetime import datetime
from uuid import UUID

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


def timestamp(time: datetime) -> Timestamp:
    """A time as the protos have it."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def optional_timestamp(time: datetime | None) -> Timestamp | None:
    """A time as the protos have it; None stays unset."""
    return None if time is None else timestamp(time)
