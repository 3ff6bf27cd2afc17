"""Checks of text that people send."""

import unicodedata

from fleetkit.errors import InvalidArgument


def checked_name(value: str, field: str) -> str:
    """A name on one line, trimmed; InvalidArgument when it is empty or has control characters."""
    name = " ".join(value.split())
    if not name:
        raise InvalidArgument(f"{field} is empty: give it a name", field=field)
    if any(unicodedata.category(char) == "Cc" for char in name):
        raise InvalidArgument(f"{field} holds control characters: leave them out", field=field)
    return name


def checked_text(value: str, field: str, max_bytes: int) -> str:
    """A text that is not empty and not too long; InvalidArgument otherwise."""
    if not value.strip():
        raise InvalidArgument(f"{field} is empty: write something", field=field)
    size = len(value.encode())
    if size > max_bytes:
        raise InvalidArgument(
            f"{field} has {size:,} bytes: use at most {max_bytes:,}",
            field=field,
            reason="TEXT_TOO_LONG",
        )
    if "\x00" in value:
        raise InvalidArgument(f"{field} holds a NUL character: leave it out", field=field)
    return value
