"""What several bodies share: times, names of enum values, pages."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fleetkit.errors import InvalidArgument
from google.protobuf.timestamp_pb2 import Timestamp
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Meta

from gateway.text import ASCII_PATTERN, NAME_PATTERN, NUL_FREE_PATTERN, TEXT_PATTERN

MAX_PAGE = 500
# Numbers of JSON are exact up to here.
MOST_EXACT = 2**53 - 1

PageSize = Annotated[
    int,
    QueryParameter(
        name="page_size", ge=1, le=MAX_PAGE, description="Most items of a page.", required=False
    ),
]
_ID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _page_token(pattern: str | None = None) -> QueryParameter:
    return QueryParameter(
        name="page_token",
        max_length=1024,
        description="`next_page_token` of the page before; empty for the first.",
        required=False,
        schema_extra={"pattern": f"^({pattern})?$"} if pattern else None,
    )


# Opaque; the id of the page's last item; its number.
PageToken = Annotated[str, _page_token()]
IdPageToken = Annotated[str, _page_token(_ID)]
NumberPageToken = Annotated[str, _page_token("[0-9]{1,9}")]
IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        max_length=255,
        description="The same key with the same body does nothing again and answers the same.",
        required=False,
        schema_extra={"pattern": ASCII_PATTERN},
    ),
]


def described(**keywords: Any) -> Meta:
    """What a field's description says beyond what is checked here, in keywords of JSON Schema.

    It is refused behind, with what would be right; `make surface` holds both to each other.
    """
    return Meta(extra_json_schema=keywords)


def none_of(low: int, high: int) -> Meta:
    """For an integer of which 0 has a meaning of its own: it is none of these."""
    return described(**{"not": {"minimum": low, "maximum": high}})


# Text that says something; a name on one line; text that may be empty.
SomeText = Annotated[str, described(pattern=TEXT_PATTERN, minLength=1)]
SomeName = Annotated[str, described(pattern=NAME_PATTERN), Meta(min_length=1)]
AnyText = Annotated[str, described(pattern=NUL_FREE_PATTERN)]
# A model as provider/model.
MODEL_PATTERN = "[a-z0-9][a-z0-9_-]{0,39}/[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}"
ModelOrNone = Annotated[str, described(pattern=f"^({MODEL_PATTERN})?$"), Meta(max_length=200)]


# Of a time in an address. It is read as text: Litestar would take a number for seconds.
TIME_SCHEMA = {"format": "date-time"}
FromTime = Annotated[
    str | None,
    QueryParameter(name="from", description="From this time, inclusive.", schema_extra=TIME_SCHEMA),
]
ToTime = Annotated[
    str | None,
    QueryParameter(name="to", description="Before this time.", schema_extra=TIME_SCHEMA),
]


def time_of(stamp: Timestamp) -> datetime:
    """A proto time, aware, UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def optional_time(message: Any, field: str) -> datetime | None:
    """A proto time that may be unset."""
    return time_of(getattr(message, field)) if message.HasField(field) else None


def time_asked(text: str | None, field: str) -> datetime | None:
    """A time of an address, aware; without a zone it is UTC. InvalidArgument for what is none."""
    try:
        time = msgspec.convert(text, datetime | None)
    except msgspec.ValidationError as error:
        raise InvalidArgument(
            f"{field} is no time: write one such as 2026-01-31T00:00:00Z", field=field
        ) from error
    return aware(time)


def aware(time: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def stamp_of(time: datetime | str | None, field: str) -> Timestamp | None:
    """A time, or one of an address, as a proto; without a zone it is UTC; None stays unset.

    InvalidArgument naming the field when it is no time, or, in UTC, not in the years 1 to 9999.
    """
    if isinstance(time, str):
        time = time_asked(time, field)
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
    if not page_token:
        return None
    if not re.fullmatch(_ID, page_token):
        raise InvalidArgument("page_token is not one that a page ended with", field="page_token")
    return UUID(page_token)
