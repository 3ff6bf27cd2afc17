"""Forward-only migrations: plain SQL files, each applied once, in its own transaction."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString, cast

import psycopg

from fleetkit.errors import FailedPrecondition, InvalidArgument

_SHARED = "fleetkit.postgres"
# Any number will do, as long as all use the same; the schema's name is the second key.
_LOCK = 72_617_001


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its recorded name, its text, and the SHA-256 of that text."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the text's UTF-8 bytes, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


async def migrate(owner_url: str, package: str) -> list[str]:
    """Applies what is missing of the shared DDL, then of `<package>/migrations/*.sql`.

    Connects as the schema's owner and works in its schema; one process at a time (others wait).
    A statement waits at most 5 s for a lock, so that it can't queue the fleet behind it. Returns
    the names applied now. FailedPrecondition when a file that was applied has changed or is gone.
    """
    wanted = [*_read(files(_SHARED) / "shared", "fleetkit/"), *migrations_of(package)]
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("select pg_advisory_lock(%s, hashtext(current_schema()))", [_LOCK])
        await conn.execute("set lock_timeout = '5s'")
        missing = _missing(wanted, await _applied(conn))
        for migration in missing:
            await _apply(conn, migration)
    return [migration.name for migration in missing]


def migrations_of(package: str) -> list[Migration]:
    """The migrations that a package carries, in order; none when it has no such folder."""
    return _read(files(package) / "migrations", "")


def _read(folder: Traversable, prefix: str) -> list[Migration]:
    if not folder.is_dir():
        return []
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        Migration(prefix + entry.name, entry.read_text("utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


async def _applied(conn: psycopg.AsyncConnection) -> dict[str, str]:
    await conn.execute(
        "create table if not exists schema_migration ("
        " name text primary key, sha256 text not null,"
        " apply_time timestamptz not null default now())"
    )
    rows = await conn.execute("select name, sha256 from schema_migration")
    return {name: sha256 async for name, sha256 in rows}


def _missing(wanted: Iterable[Migration], applied: dict[str, str]) -> list[Migration]:
    left = dict(applied)
    missing: list[Migration] = []
    for migration in wanted:
        recorded = left.pop(migration.name, None)
        if recorded is None:
            missing.append(migration)
        elif recorded != migration.sha256:
            raise FailedPrecondition(
                f"migration {migration.name} was applied and has changed since: restore it and "
                "put the change in a new file",
                reason="MIGRATION_CHANGED",
            )
    # Recorded names that this program doesn't carry are those of a newer one: it may run beside.
    return missing


async def _apply(conn: psycopg.AsyncConnection, migration: Migration) -> None:
    try:
        async with conn.transaction():
            # A file of this repository is as trusted as its code.
            await conn.execute(cast(LiteralString, migration.text))
            await conn.execute(
                "insert into schema_migration (name, sha256) values (%s, %s)",
                [migration.name, migration.sha256],
            )
    except psycopg.ProgrammingError as error:
        raise InvalidArgument(f"migration {migration.name} failed: {error}") from error
