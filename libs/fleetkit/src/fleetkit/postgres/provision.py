"""Makes the database: a schema and two roles for each service, and nothing across."""

import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

DATABASE = "fleetdesk"
_EXTENSIONS = "extensions"


def schema_of(service: str) -> str:
    """The schema of a service, which is also the name of its serving role."""
    return service.replace("-", "_")


def owner_of(service: str) -> str:
    """The role that owns the schema of a service; only migrations use it."""
    return f"{schema_of(service)}_owner"


def role_url(admin_url: str, role: str, password: str, database: str = DATABASE) -> str:
    """The URL of `role` on the server of `admin_url`."""
    server = urlsplit(admin_url)
    host = server.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit((server.scheme, f"{login}@{host}", f"/{database}", server.query, ""))


async def provision(
    admin_url: str,
    services: Sequence[str],
    *,
    database: str = DATABASE,
    passwords: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Makes the database, its extension, and schema and roles of each service. Idempotent.

    Roles get the password given in `passwords`, else a new random one (also when the role
    exists: pass those of the last time to keep them). Returns the password of every role.
    """
    roles = [role for service in services for role in (schema_of(service), owner_of(service))]
    chosen = {role: (passwords or {}).get(role) or secrets.token_urlsafe(24) for role in roles}
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as conn:
        for role, password in chosen.items():
            await _ensure_role(conn, role, password)
        await _ensure_database(conn, database)
        await admit(conn, database, services)
    in_database = _with_database(admin_url, database)
    async with await psycopg.AsyncConnection.connect(in_database) as conn:
        await _ensure_extension(conn)
        for service in services:
            await _ensure_schema(conn, service)
    return chosen


async def admit(conn: psycopg.AsyncConnection, database: str, services: Sequence[str]) -> None:
    """Lets the services' roles, and nobody else, connect to `database`."""
    name = sql.Identifier(database)
    await conn.execute(sql.SQL("revoke all on database {} from public").format(name))
    for service in services:
        await conn.execute(
            sql.SQL("grant connect on database {} to {}, {}").format(
                name, sql.Identifier(schema_of(service)), sql.Identifier(owner_of(service))
            )
        )


async def _ensure_role(conn: psycopg.AsyncConnection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    found = await conn.execute("select 1 from pg_roles where rolname = %s", [role])
    if await found.fetchone() is None:
        await conn.execute(sql.SQL("create role {}").format(name))
    await conn.execute(
        sql.SQL(
            "alter role {} login nosuperuser nobypassrls nocreatedb nocreaterole noreplication"
            " noinherit password {}"
        ).format(name, sql.Literal(password))
    )
    schema = role.removesuffix("_owner")
    await conn.execute(
        sql.SQL("alter role {} set search_path = {}, {}").format(
            name, sql.Identifier(schema), sql.Identifier(_EXTENSIONS)
        )
    )


async def _ensure_database(conn: psycopg.AsyncConnection, database: str) -> None:
    found = await conn.execute("select 1 from pg_database where datname = %s", [database])
    if await found.fetchone() is None:
        await conn.execute(sql.SQL("create database {}").format(sql.Identifier(database)))


async def _ensure_extension(conn: psycopg.AsyncConnection) -> None:
    extensions = sql.Identifier(_EXTENSIONS)
    await conn.execute("revoke all on schema public from public")
    await conn.execute(sql.SQL("create schema if not exists {}").format(extensions))
    await conn.execute(
        sql.SQL("create extension if not exists vector schema {}").format(extensions)
    )
    # Types and operators only: nobody but the administrator can create there.
    await conn.execute(sql.SQL("grant usage on schema {} to public").format(extensions))


async def _ensure_schema(conn: psycopg.AsyncConnection, service: str) -> None:
    schema, owner = sql.Identifier(schema_of(service)), sql.Identifier(owner_of(service))
    await conn.execute(
        sql.SQL("create schema if not exists {} authorization {}").format(schema, owner)
    )
    await conn.execute(sql.SQL("revoke all on schema {} from public").format(schema))
    # The serving role has the schema's own name.
    await conn.execute(sql.SQL("grant usage on schema {} to {}").format(schema, schema))
    # Functions are executable by everybody unless said otherwise.
    await conn.execute(
        sql.SQL(
            "alter default privileges for role {} revoke execute on functions from public"
        ).format(owner)
    )


def _with_database(url: str, database: str) -> str:
    server = urlsplit(url)
    return urlunsplit((server.scheme, server.netloc, f"/{database}", server.query, ""))
