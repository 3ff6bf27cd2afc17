"""Erasure covers every table with a tenant: the rules of each service against its catalogue."""

import importlib
import importlib.util
from typing import Any
from uuid import uuid4

import pytest
from fleetdesk_local.roster import SERVICES, package_of
from fleetkit.clock import Clock
from fleetkit.erasure import Erasure
from fleetkit.erasure.rows import erase_rows
from fleetkit.erasure.rules import Target
from fleetkit.postgres.provision import schema_of
from google.protobuf.empty_pb2 import Empty

from .test_tenant_isolation import admin, exempt, tables

# A service without tables of its own keeps nothing that could be erased.
NOTHING = Erasure(Empty, ())


def rules_of(service: str) -> Erasure:
    name = f"{package_of(service)}.erasure"
    if importlib.util.find_spec(name) is None:
        return NOTHING
    return importlib.import_module(name).ERASURE


def uncovered(names: set[str], erasure: Erasure) -> set[str]:
    """Tables without a rule, and rules without a table."""
    return names ^ {table.name for table in erasure.all_tables}


@pytest.mark.parametrize("service", SERVICES)
class TestEveryTable:
    async def test_has_a_rule(self, database: Any, service: str) -> None:
        found = await tables(await database(service), service)
        names = {one.name for one in found if one.tenant and not one.partition}
        assert uncovered(names - exempt(service), rules_of(service)) == set()

    async def test_can_be_erased_by_its_rule(self, database: Any, service: str) -> None:
        copy, erasure = await database(service), rules_of(service)
        for visitor_id in (uuid4(), None):
            target = Target(uuid4(), uuid4(), visitor_id, (uuid4(),), Clock().now())
            async with admin(copy, service) as conn:
                await conn.execute(f"set role {schema_of(service)}")  # type: ignore[arg-type]
                assert await erase_rows(conn, erasure, target) == {}  # type: ignore[arg-type]


class TestUncovered:
    def test_names_a_table_that_nobody_thought_of(self) -> None:
        erasure = rules_of("memory")
        names = {table.name for table in erasure.all_tables}
        assert uncovered({*names, "forgotten"}, erasure) == {"forgotten"}
        assert uncovered(names - {"turn"}, erasure) == {"turn"}
