"""What pages read of their requests. What makes no sense in an address is left out."""

from collections.abc import Collection
from uuid import UUID

from fleetkit.errors import NotFound

from gateway.parts import GatewayRequest

_MAX_CHARS = 2_000
_MAX_DIGITS = 9


async def form_of(request: GatewayRequest, *names: str) -> dict[str, str]:
    """The named fields of a form, "" where one is missing or is a file."""
    form = await request.form()
    found = {name: form.get(name) for name in names}
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}


def asked(request: GatewayRequest, name: str) -> str:
    """A parameter of the address, trimmed; "" when it is missing."""
    return str(request.query_params.get(name, "")).strip()[:_MAX_CHARS]


def asked_of(request: GatewayRequest, name: str, known: Collection[str], default: str = "") -> str:
    """A parameter that is one of some; the default otherwise."""
    value = asked(request, name)
    return value if value in known else default


def asked_number(request: GatewayRequest, name: str) -> int | None:
    """A parameter that is a whole number; None otherwise."""
    return number_of(asked(request, name))


def uuid_of(text: str, what: str) -> UUID:
    """The id that a text is; NotFound, naming what is not there, for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f"there is no such {what}") from error


def number_of(text: str) -> int | None:
    """The whole number that a text is; None for what is none, or has more than nine digits."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else None
