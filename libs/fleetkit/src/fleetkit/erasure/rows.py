"""Deleting, or making anonymous, the rows of a visitor or a tenant."""

from typing import LiteralString

from psycopg import sql

from fleetkit.erasure.rules import Erasure, Table, Target
from fleetkit.postgres.connection import FleetConnection


async def erase_rows(conn: FleetConnection, erasure: Erasure, target: Target) -> dict[str, int]:
    """Applies the rules in the transaction of `conn`; the rows changed, by table. Idempotent."""
    values = {
        "tenant_id": target.tenant_id,
        "visitor_id": target.visitor_id,
        "conversation_ids": list(target.conversation_ids),
    }
    counts: dict[str, int] = {}
    for table in erasure.all_tables:
        statement = _of_tenant(table) if target.visitor_id is None else _of_visitor(table)
        if statement is None:
            continue
        changed = await conn.execute(statement, values)
        if changed.rowcount:
            counts[table.name] = changed.rowcount
    if target.visitor_id is None:
        await conn.execute(
            "delete from job where tenant_id = %s and kind not like 'erasure%%'", [target.tenant_id]
        )
    return counts


def _of_tenant(table: Table) -> sql.Composed | None:
    if not table.kept:
        statement = sql.SQL("delete from {} where tenant_id = %(tenant_id)s")
        return statement.format(sql.Identifier(table.name))
    return _change(table, table.of_anyone) if table.of_anyone else None


def _of_visitor(table: Table) -> sql.Composed | None:
    return _change(table, table.of_visitor) if table.of_visitor else None


def _change(table: Table, condition: LiteralString) -> sql.Composed:
    """Deletes the tenant's rows that the condition is true of, or makes them anonymous."""
    change = "update {} set {}" if table.blank else "delete from {}{}"
    statement = sql.SQL(change + " where tenant_id = %(tenant_id)s and ({})")
    return statement.format(sql.Identifier(table.name), sql.SQL(table.blank), sql.SQL(condition))
