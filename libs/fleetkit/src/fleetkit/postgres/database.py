"""Transactions: each belongs to one tenant, or to none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, Self, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors as pg_errors
from psycopg.rows import AsyncRowFactory, tuple_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.errors import DeadlineExceeded, FleetError, Unavailable
from fleetkit.postgres.connection import FleetConnection

Row = TypeVar("Row")

_POOL_TIMEOUT_S = 5.0
_MAX_WAITING = 256
_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "timezone": "UTC",
        "statement_timeout": "15s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "60s",
    }.items()
)
_SNAPSHOT = "set transaction isolation level repeatable read, read only"
# Read only for the row that it gives, so that it is evaluated before what is called for that row.
_TENANT: LiteralString = (
    "with tenant as materialized"
    " (select set_config('fleetdesk.tenant_id', %(of_tenant)s, true)::uuid as id) "
)
# `offset 0` keeps the query as it is: it is evaluated for the tenant's row, and so after it.
_READ: tuple[LiteralString, LiteralString] = (
    "select found.* from tenant cross join lateral (",
    " offset 0) found",
)
# Classes of SQLSTATE after which the same transaction may well succeed: connection failures,
# conflicts between transactions, resources short, shutdown.
_TRANSIENT = ("08", "40", "53", "57P", "55P03")


class Database:
    """A service's own schema, through a pool of connections with the service's own role.

    Transactions are for statements only: never keep one open across a call to another service.
    Errors of the connection are raised as Unavailable, a statement over its time limit as
    DeadlineExceeded; other psycopg errors (a violated constraint) pass as they are.
    """

    def __init__(
        self, pool: AsyncConnectionPool[FleetConnection], now: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._now = now
        self._listeners: dict[str, set[Callable[[], None]]] = {}

    @classmethod
    async def open(cls, settings: FleetSettings) -> Self:
        """Opens the pool without waiting for the server, which may come up later (see `ping`)."""
        pool = AsyncConnectionPool(
            settings.postgres_url.get_secret_value(),
            connection_class=FleetConnection,
            kwargs={
                # Transactions are begun by hand, see `_beginning`.
                "autocommit": True,
                "options": _OPTIONS,
                "application_name": settings.service,
                "connect_timeout": 5,
            },
            min_size=1,
            max_size=settings.postgres_pool_max,
            timeout=_POOL_TIMEOUT_S,
            max_waiting=_MAX_WAITING,
            open=False,
            name=settings.service,
        )
        await pool.open(wait=False)
        return cls(pool, Clock.from_settings(settings).now)

    async def close(self) -> None:
        """Closes all connections; transactions that still run get a few seconds."""
        await self._pool.close(timeout=5.0)

    def now(self) -> datetime:
        """The fleet clock's time."""
        return self._now()

    async def ping(self) -> None:
        """One round trip; Unavailable when the server does not answer."""
        async with self.fleet() as conn:
            await conn.execute("select 1")

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[FleetConnection]:
        """A transaction that sees and writes rows of `tenant_id` only; commits at the end."""
        async with self._transaction(tenant_id) as conn:
            yield conn

    @asynccontextmanager
    async def snapshot(self, tenant_id: UUID) -> AsyncIterator[FleetConnection]:
        """A transaction that reads rows of `tenant_id`, all statements of it as of one moment."""
        async with self._transaction(tenant_id, _SNAPSHOT) as conn:
            yield conn

    @asynccontextmanager
    async def fleet(self) -> AsyncIterator[FleetConnection]:
        """A transaction without a tenant: tenant tables look empty, exempt ones don't."""
        async with self._transaction(None) as conn:
            yield conn

    async def call(
        self,
        tenant_id: UUID,
        query: LiteralString,
        parameters: Mapping[str, Any],
        *,
        signal: str = "",
    ) -> list[tuple[Any, ...]]:
        """One statement as a transaction of its own: one round trip where `tenant` takes three.

        `query` selects a function's result from the relation `tenant`, whose one row sets the
        tenant: what such a function reads and writes is the tenant's. `signal` is what to wake once
        it is committed. It must be idempotent: it is run again when its connection was lost.
        """
        named = {**parameters, "of_tenant": str(tenant_id)}
        rows = await self._at_once(tuple_row, _TENANT + query, named)
        self._wake(signal)
        return rows

    async def read(
        self,
        tenant_id: UUID,
        row_factory: AsyncRowFactory[Row],
        query: LiteralString,
        parameters: Mapping[str, Any],
    ) -> list[Row]:
        """What a query finds of a tenant, in one round trip where `tenant` takes three.

        The query names the tenant as `tenant.id`: by that it waits for the tenant to be set. Where
        it is sorted, the rows come in that order.
        """
        if "tenant.id" not in query:
            raise ValueError("a query that does not name tenant.id may run before it is set")
        named = {**parameters, "of_tenant": str(tenant_id)}
        return await self._at_once(row_factory, _TENANT + _READ[0] + query + _READ[1], named)

    async def fleet_call(
        self, query: LiteralString, parameters: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """One statement as a transaction without a tenant, in one round trip; its rows, if any.

        For exempt tables: tenant tables look empty. It must be idempotent, as for `call`.
        """
        return await self._at_once(tuple_row, query, parameters)

    def listen(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Calls `wake` after each commit of this process that signalled `topic`.

        Returns the function that ends it.
        """
        listeners = self._listeners.setdefault(topic, set())
        listeners.add(wake)
        return lambda: listeners.discard(wake)

    async def _at_once(
        self,
        row_factory: AsyncRowFactory[Row],
        statement: LiteralString,
        parameters: Mapping[str, Any],
    ) -> list[Row]:
        """Runs a statement without a transaction around it; again when its connection was lost."""
        for _ in range(self._pool.max_size + 1):
            conn = await self._connection()
            try:
                cursor = conn.cursor(row_factory=row_factory)
                await cursor.execute(statement, parameters)
                rows = await cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError as error:
                await self._give_back(conn)
                if not _is_lost(error, conn):
                    raise _translated(error) from error
            except BaseException:
                await asyncio.shield(self._give_back(conn))
                raise
            else:
                await self._pool.putconn(conn)
                return rows
        raise Unavailable("the database does not answer", retry_after_s=1.0)

    @asynccontextmanager
    async def _transaction(
        self, tenant_id: UUID | None, mode: LiteralString | None = None
    ) -> AsyncIterator[FleetConnection]:
        conn = await self._begin(tenant_id, mode)
        try:
            yield conn
            signals = conn.signals
            await conn.commit()
        except psycopg.OperationalError as error:
            raise _translated(error) from error
        finally:
            # Ends what an exception (or a cancelled task) left open; the pool replaces the
            # connection when it is broken.
            await asyncio.shield(self._give_back(conn))
        for topic in signals:
            self._wake(topic)

    def _wake(self, topic: str) -> None:
        for wake in tuple(self._listeners.get(topic, ())):
            wake()

    async def _begin(self, tenant_id: UUID | None, mode: LiteralString | None) -> FleetConnection:
        """A connection in a fresh transaction; passes over those that died in the pool."""
        for _ in range(self._pool.max_size + 1):
            conn = await self._connection()
            try:
                await conn.execute(_beginning(tenant_id, mode))
            except psycopg.OperationalError as error:
                await self._give_back(conn)
                if not _is_lost(error, conn):
                    raise _translated(error) from error
            except BaseException:
                await asyncio.shield(self._give_back(conn))
                raise
            else:
                conn.tenant_id, conn.signals, conn.now = tenant_id, frozenset(), self._now
                return conn
        raise Unavailable("the database does not answer", retry_after_s=1.0)

    async def _connection(self) -> FleetConnection:
        try:
            return await self._pool.getconn()
        except (PoolTimeout, TooManyRequests) as error:
            raise Unavailable("no database connection is free", retry_after_s=1.0) from error
        except PoolClosed as error:
            raise Unavailable("the database connections are closed") from error

    async def _give_back(self, conn: FleetConnection) -> None:
        try:
            await conn.rollback()
        except psycopg.OperationalError:
            await conn.close()
        await self._pool.putconn(conn)


def _beginning(tenant_id: UUID | None, mode: LiteralString | None) -> bytes:
    """Begins a transaction of a tenant, in that mode, in one round trip.

    A pipeline would do it, too; cancelled in the midst, psycopg leaves its end unfinished.
    """
    tenant = f"set local fleetdesk.tenant_id = '{tenant_id or ''}'"
    return "; ".join(["begin", *([mode] if mode else []), tenant]).encode()


def _is_lost(error: psycopg.OperationalError, conn: psycopg.AsyncConnection) -> bool:
    return conn.broken or conn.closed or isinstance(error, pg_errors.AdminShutdown)


def _translated(error: psycopg.OperationalError) -> FleetError | psycopg.OperationalError:
    if isinstance(error, pg_errors.QueryCanceled):
        return DeadlineExceeded("a statement took longer than it may", reason="STATEMENT_TIMEOUT")
    if error.sqlstate is None or error.sqlstate.startswith(_TRANSIENT):
        return Unavailable("the database did not answer", retry_after_s=1.0)
    return error
