"""Tenant isolation, generated from the catalogue of every service's migrated schema.

A table has the tenants' policy or is listed in exempt.toml with a reason; nothing else.
"""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from fleetdesk_local.roster import SERVICES
from fleetkit.postgres.provision import schema_of
from harness.databases import Databases, TestDatabase
from psycopg import sql
from psycopg.rows import class_row, dict_row

EXEMPT = tomllib.loads((files("fleetkit.postgres") / "exempt.toml").read_text())["table"]
OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
POLICY = (
    "(tenant_id = ( SELECT (NULLIF(current_setting('fleetdesk.tenant_id'::text, true),"
    " ''::text))::uuid AS \"nullif\"))"
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the catalogue has it; `granted` is what the serving role may do with it."""

    name: str
    tenant: bool
    enabled: bool
    forced: bool
    policies: list[str]
    partition: bool
    granted: list[str]


@asynccontextmanager
async def admin(database: TestDatabase, service: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        database.admin_url, options=f"-c search_path={schema_of(service)},extensions"
    ) as conn:
        yield conn


async def tables(database: TestDatabase, service: str) -> list[Table]:
    query: LiteralString = """
        select c.relname as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
          c.relispartition as partition,
          exists (select from pg_attribute a where a.attrelid = c.oid
            and a.attname = 'tenant_id' and a.attnum > 0 and not a.attisdropped) as tenant,
          coalesce((select array_agg(format('%%s|%%s|%%s|%%s', p.polcmd, p.polpermissive,
              pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)))
            from pg_policy p where p.polrelid = c.oid), '{}') as policies,
          array(select privilege from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE',
              'TRUNCATE', 'REFERENCES', 'TRIGGER']) privilege
            where has_table_privilege(%(role)s, c.oid, privilege)) as granted
        from pg_class c
        where c.relnamespace = %(schema)s::regnamespace and c.relkind in ('r', 'p')
        order by 1"""
    async with admin(database, service) as conn, conn.cursor(row_factory=class_row(Table)) as cur:
        await cur.execute(query, {"schema": schema_of(service), "role": schema_of(service)})
        return await cur.fetchall()


def exempt(service: str) -> set[str]:
    return {entry["name"] for entry in EXEMPT if entry["schema"] in ("*", schema_of(service))}


def faults_of(table: Table, listed: set[str]) -> list[str]:
    """What is wrong with a table; nothing, for one that isolates tenants or is exempt."""
    if table.partition:
        # Reached through its parent only, whose policy then holds.
        return ["the partition can be reached by itself"] if table.granted else []
    if table.name in listed:
        return []
    faults = []
    if not table.tenant:
        faults.append("no tenant_id")
    if not (table.enabled and table.forced):
        faults.append("row level security is not enabled and forced")
    if table.policies != [f"*|t|{POLICY}|{POLICY}"]:
        faults.append("not exactly the tenants' policy")
    if set(table.granted) - set(OPERATIONS):
        faults.append("more than reading and writing rows is granted")
    return faults


async def faults(database: TestDatabase, service: str) -> dict[str, list[str]]:
    found = {t.name: faults_of(t, exempt(service)) for t in await tables(database, service)}
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize("service", SERVICES)
class TestEveryTable:
    async def test_has_the_policy_or_is_exempt(self, database: Any, service: str) -> None:
        assert await faults(await database(service), service) == {}

    async def test_shows_and_takes_rows_of_its_own_tenant_only(
        self, database: Any, service: str
    ) -> None:
        copy = await database(service)
        for table in await tables(copy, service):
            if table.tenant and not table.partition and table.name not in exempt(service):
                await _assert_isolated(copy, service, table.name)

    async def test_is_referenced_within_its_tenant_only(self, database: Any, service: str) -> None:
        """A foreign key is checked above the policies: it must name the tenant, too."""
        query: LiteralString = """
            select conrelid::regclass::text || ' ' || conname as key from pg_constraint k
            where contype = 'f' and connamespace = %s::regnamespace
              and exists (select from pg_attribute a where a.attrelid = k.confrelid
                and a.attname = 'tenant_id')
              and exists (select from pg_attribute a where a.attrelid = k.conrelid
                and a.attname = 'tenant_id')
              and not exists (select from pg_attribute a where a.attrelid = k.conrelid
                and a.attname = 'tenant_id' and a.attnum = any(k.conkey))"""
        assert await _column(await database(service), service, query) == []

    async def test_is_not_shown_by_a_view_above_the_policies(
        self, database: Any, service: str
    ) -> None:
        query: LiteralString = """
            select relname from pg_class where relnamespace = %s::regnamespace
              and (relkind = 'm' or relkind = 'v'
                and not coalesce('security_invoker=true' = any(reloptions), false))"""
        assert await _column(await database(service), service, query) == []

    async def test_is_not_reached_by_functions_with_the_owners_rights(
        self, database: Any, service: str
    ) -> None:
        query: LiteralString = """
            select proname from pg_proc where pronamespace = %s::regnamespace and prosecdef
              and proname not in ('fleetkit_outbox_extend', 'fleetkit_outbox_expire')"""
        assert await _column(await database(service), service, query) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_every_exempt_table_exists_and_has_a_reason(database: Any, service: str) -> None:
    there = {table.name for table in await tables(await database(service), service)}
    assert exempt(service) <= there
    assert all(len(entry["reason"]) > 20 for entry in EXEMPT)


class TestTheCheck:
    """Each rule, broken once."""

    @pytest.fixture
    async def copy(self, databases: Databases) -> AsyncIterator[TestDatabase]:
        yield await databases.copy("probe")
        await databases.drop_all()

    @pytest.mark.parametrize(
        ("statement", "fault"),
        [
            ("create table leak (tenant_id uuid, x int)", "row level security"),
            ("create table leak (x int)", "no tenant_id"),
            (
                "create table leak (tenant_id uuid); alter table leak enable row level security",
                "row level security",
            ),
            (
                """create table leak (tenant_id uuid); select fleetkit_protect('leak');
                create policy more on leak using (true)""",
                "policy",
            ),
            (
                """create table leak (tenant_id uuid); select fleetkit_protect('leak');
                grant truncate on leak to probe""",
                "granted",
            ),
        ],
    )
    async def test_finds_a_table_that_leaks(
        self, copy: TestDatabase, statement: LiteralString, fault: str
    ) -> None:
        assert await faults(copy, "probe") == {}
        async with await psycopg.AsyncConnection.connect(copy.owner_url) as conn:
            await conn.execute(statement)
        found = await faults(copy, "probe")
        assert any(fault in each for each in found["leak"])

    async def test_finds_rows_of_another_tenant(self, copy: TestDatabase) -> None:
        await _assert_isolated(copy, "probe", "note")
        async with await psycopg.AsyncConnection.connect(copy.owner_url) as conn:
            await conn.execute("alter table note disable row level security")
        with pytest.raises(AssertionError, match="note"):
            await _assert_isolated(copy, "probe", "note")


async def _assert_isolated(database: TestDatabase, service: str, table: str) -> None:
    """Fills a row of tenant A in; tenant B sees, changes and deletes none and adds none of A's."""
    a, b = uuid4(), uuid4()
    row = await _insert_row(database, service, table, a)
    assert await _seen(database, table, a) == 1, f"{table}: its own tenant does not see the row"
    assert await _seen(database, table, b) == 0, f"{table}: another tenant sees the row"
    assert await _seen(database, table, None) == 0, f"{table}: the row shows without a tenant"
    name = sql.Identifier(table)
    async with _serving(database, b) as conn:
        changed = await _touched(conn, sql.SQL("update {} set tenant_id = tenant_id").format(name))
        assert changed == 0, f"{table}: another tenant changes the row"
        assert await _touched(conn, sql.SQL("delete from {}").format(name)) == 0, (
            f"{table}: another tenant deletes the row"
        )
    async with _serving(database, b) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(*_insertion(table, row))


async def _touched(conn: psycopg.AsyncConnection, statement: sql.Composed) -> int:
    """Rows changed; 0 where the role may not change any at all."""
    try:
        async with conn.transaction():
            return (await conn.execute(statement)).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return 0


async def _seen(database: TestDatabase, table: str, tenant_id: UUID | None) -> int:
    async with _serving(database, tenant_id) as conn:
        found = await conn.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
        row = await found.fetchone()
        return row[0] if row else 0


@asynccontextmanager
async def _serving(
    database: TestDatabase, tenant_id: UUID | None
) -> AsyncIterator[psycopg.AsyncConnection]:
    """A transaction of the serving role, rolled back in the end."""
    conn = await psycopg.AsyncConnection.connect(database.url)
    try:
        if tenant_id is not None:
            await conn.execute(
                "select set_config('fleetdesk.tenant_id', %s, true)", [str(tenant_id)]
            )
        yield conn
    finally:
        await conn.rollback()
        await conn.close()


async def _insert_row(
    database: TestDatabase, service: str, table: str, tenant_id: UUID
) -> dict[str, Any]:
    """Puts a made-up row of the tenant in, above policies, constraints and triggers."""
    query: LiteralString = """
        select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, t.typtype as kind,
          a.attidentity <> '' or a.attgenerated <> '' as automatic
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped"""
    async with admin(database, service) as conn:
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, [table])
            columns = [c for c in await cursor.fetchall() if not c["automatic"]]
        row = {column["name"]: _made_up(column["type"]) for column in columns}
        row["tenant_id"] = tenant_id
        # Foreign keys are triggers; checks stand in the way of made-up values.
        await conn.execute("set session_replication_role = replica")
        await _drop_checks(conn, table)
        await conn.execute(*_insertion(table, row))
        return row


def _insertion(table: str, row: dict[str, Any]) -> tuple[sql.Composed, list[Any]]:
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )
    return statement, list(row.values())


async def _drop_checks(conn: psycopg.AsyncConnection, table: str) -> None:
    found = await conn.execute(
        "select conname from pg_constraint where conrelid = %s::regclass and contype = 'c'",
        [table],
    )
    for (name,) in await found.fetchall():
        await conn.execute(
            sql.SQL("alter table {} drop constraint {}").format(
                sql.Identifier(table), sql.Identifier(name)
            )
        )


def _made_up(kind: str) -> Any:
    """A value of a type, as text that PostgreSQL reads."""
    if kind.endswith("[]"):
        return "{}"
    base, _, size = kind.removesuffix(")").partition("(")
    values: dict[str, Any] = {
        "uuid": uuid4(),
        "text": uuid4().hex,
        "boolean": True,
        "jsonb": "{}",
        "bytea": b"x",
        "date": "2026-01-01",
        "timestamp with time zone": "2026-01-01T00:00:00Z",
        "tsvector": "",
        "int4range": "[1,2)",
        "tstzrange": "[2026-01-01,2026-02-01)",
        "interval": "1 second",
    }
    if base.rpartition(".")[2] in ("vector", "halfvec"):
        return str([1.0] * int(size or 1))
    return values.get(base, "1")


async def _column(database: TestDatabase, service: str, query: LiteralString) -> list[Any]:
    async with admin(database, service) as conn:
        rows = await conn.execute(query, [schema_of(service)])
        return [row[0] for row in await rows.fetchall()]
