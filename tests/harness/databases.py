"""PostgreSQL for tests: one server a run, a migrated template per service, a copy per test."""

import secrets
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from fleetkit.postgres.migrations import migrate
from fleetkit.postgres.provision import admit, owner_of, provision, role_url, schema_of
from psycopg import sql

from harness.run import Run

_PACKAGES = {"probe": "harness.probe"}


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """A private, migrated database of one service."""

    __test__ = False

    name: str
    url: str
    owner_url: str
    admin_url: str


class Databases:
    """The run's PostgreSQL server; started by whichever worker needs it first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._made: list[str] = []
        with run.locked() as state:
            if "admin_url" not in state:
                state["admin_url"] = run.start_postgres()
                state["password"] = secrets.token_urlsafe(12)
            self.admin_url: str = state["admin_url"]
            self._password: str = state["password"]

    async def copy(self, service: str) -> TestDatabase:
        """A new database with the schema of `service` in it, migrated, and nothing else."""
        template = await self._template(service)
        name = f"test_{uuid4().hex}"
        async with await self._admin() as conn:
            await conn.execute(
                sql.SQL("create database {} template {} strategy file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            await admit(conn, name, [service])
        self._made.append(name)
        return self._database(name, service)

    async def empty(self, service: str) -> TestDatabase:
        """A new database with the roles and the empty schema of `service`, not migrated."""
        name = f"test_{uuid4().hex}"
        with self._run.locked():
            await self._provision(service, name)
        self._made.append(name)
        return self._database(name, service)

    async def drop_all(self) -> None:
        """Drops what was made since the last time, whoever is still connected."""
        async with await self._admin() as conn:
            while self._made:
                name = sql.Identifier(self._made.pop())
                await conn.execute(sql.SQL("drop database {} with (force)").format(name))

    async def _template(self, service: str) -> str:
        name = f"template_{schema_of(service)}"
        with self._run.locked() as state:
            if name in state.setdefault("templates", []):
                return name
            await self._provision(service, name)
            database = self._database(name, service)
            await migrate(database.owner_url, _PACKAGES.get(service, schema_of(service)))
            state["templates"].append(name)
        return name

    async def _provision(self, service: str, name: str) -> None:
        roles = (schema_of(service), owner_of(service))
        passwords = dict.fromkeys(roles, self._password)
        await provision(self.admin_url, [service], database=name, passwords=passwords)

    async def _admin(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.admin_url, autocommit=True)

    def _database(self, name: str, service: str) -> TestDatabase:
        return TestDatabase(
            name=name,
            url=role_url(self.admin_url, schema_of(service), self._password, name),
            owner_url=role_url(self.admin_url, owner_of(service), self._password, name),
            admin_url=self.admin_url.rpartition("/")[0] + f"/{name}",
        )
