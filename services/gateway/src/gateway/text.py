"""Checks of text that people send, and the same as patterns for the API's description.

Patterns are of ECMA 262. Its white space lacks some controls that Python's has: they are named.
"""

import re

from fleetkit.errors import InvalidArgument

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
# What `checked_name` and `checked_text` take, and any text that can be stored.
NAME_PATTERN = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"
TEXT_PATTERN = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"
NUL_FREE_PATTERN = r"^[^\x00]*$"
# What a service's filters and names of the caller's are, and what a header may hold.
NO_CONTROLS_PATTERN = r"^[^\x00-\x1f\x7f]*$"
ASCII_PATTERN = "^[ -~]*$"


def checked_name(value: str, field: str) -> str:
    """A name on one line, trimmed; InvalidArgument when it is empty or has control characters."""
    if re.search(f"[{_CONTROLS}]", value):
        raise InvalidArgument(f"{field} holds control characters: leave them out", field=field)
    name = " ".join(value.split())
    if not name:
        raise InvalidArgument(f"{field} is empty: give it a name", field=field)
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
