"""What several bodies share: times, names of enum values, pages."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fleetkit.errors import InvalidArgument
from google.protobuf.timestamp_pb2 import Timestamp
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Meta

MAX_PAGE = 500

PageSize = Annotated[
    int,
    QueryParameter(
        name="page_size", ge=1, le=MAX_PAGE, description="Most items of a page.", required=False
    ),
]
PageToken = Annotated[
    str,
    QueryParameter(
        name="page_token",
        max_length=1024,
        description="`next_page_token` of the page before; empty for the first.",
        required=False,
    ),
]
IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        max_length=255,
        description="The same key with the same body does nothing again and answers the same.",
        required=False,
    ),
]

# Text that says something, as `gateway.text.checked_text` asks; described here, refused there.
SomeText = Annotated[
    str,
    Meta(
        extra_json_schema={"extra": {"pattern": "^[^\\x00]*[^\\s\\x00][^\\x00]*$", "min_length": 1}}
    ),
]


def time_of(stamp: Timestamp) -> datetime:
    """A proto time, aware, UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def optional_time(message: Any, field: str) -> datetime | None:
    """A proto time that may be unset."""
    return time_of(getattr(message, field)) if message.HasField(field) else None


def stamp_of(time: datetime | None, field: str) -> Timestamp | None:
    """A time as a proto; without a zone it is UTC; None stays unset.

    InvalidArgument naming the field when it is, in UTC, not in the years 1 to 9999.
    """
    if time is None:
        return None
    stamp = Timestamp()
    try:
        stamp.FromDatetime(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(
            f"{field} is out of the calendar: use a year from 1 to 9999", field=field
        ) from error
    return stamp


def label_of(enum: Any, value: int, prefix: str) -> str | None:
    """An enum value's name in JSON, "OUTCOME_HANDOFF" → "handoff"; None for unspecified."""
    if value == 0:
        return None
    if value not in enum.values():
        # Of a newer service: said as a number rather than not at all.
        return str(value)
    return enum.Name(value).removeprefix(prefix).lower()


def value_of(enum: Any, label: str | None, prefix: str, field: str) -> Any:
    """The enum value of a name in JSON, 0 for none; InvalidArgument naming those there are."""
    if label is None:
        return 0
    names: dict[str, int] = {
        name.removeprefix(prefix).lower(): value for name, value in enum.items() if value != 0
    }
    if label not in names:
        raise InvalidArgument(
            f"{field} is {label[:60]!r}: use one of {', '.join(names)}", field=field
        )
    return names[label]


def optional_id(value: str) -> UUID | None:
    """An id that may be empty."""
    return UUID(value) if value else None


def id_of_token(page_token: str) -> UUID | None:
    """The id that a page of the gateway's own rows ended with; None for the first page."""
    try:
        return UUID(page_token) if page_token else None
    except ValueError as error:
        raise InvalidArgument(
            "page_token is not one that a page ended with", field="page_token"
        ) from error
