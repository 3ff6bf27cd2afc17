"""Ids of rows and events."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUIDv7: unique, and later ids sort after earlier ones."""
    return uuid7()
