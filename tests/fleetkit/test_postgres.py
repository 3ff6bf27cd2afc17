import asyncio
from importlib.resources import files
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from fleetkit.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from fleetkit.postgres import Database, known_tenants, remember_tenant
from fleetkit.postgres.migrations import Migration, migrate, migrations_of
from fleetkit.postgres.provision import provision
from harness.databases import Databases
from psycopg.rows import scalar_row
from pydantic import SecretStr

_LABELS_READ = "select label from note where tenant_id = tenant.id and label like %(like)s"
_INSERT = "insert into note (note_id, tenant_id, label) values (%s, %s, %s)"


@pytest.fixture
async def db(settings: Any, opened: Any) -> Database:
    return await opened(await settings())


async def _add_note(db: Database, tenant_id: UUID, label: str = "a") -> None:
    async with db.tenant(tenant_id) as conn:
        await conn.execute(_INSERT, [uuid4(), tenant_id, label])


async def _count(conn: Any) -> int:
    # Deliberately without a tenant_id: what the policy alone lets through.
    row = await (await conn.execute("select count(*) from note")).fetchone()
    return row[0]


class TestTenant:
    async def test_sees_its_own_rows_and_no_others(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id)
        async with db.tenant(tenant_id) as conn:
            assert await _count(conn) == 1
        async with db.tenant(other_tenant_id) as conn:
            assert await _count(conn) == 0

    async def test_as_a_snapshot_sees_one_moment_and_writes_nothing(
        self, db: Database, tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id)
        async with db.snapshot(tenant_id) as conn:
            assert await _count(conn) == 1
            await _add_note(db, tenant_id, "b")
            assert await _count(conn) == 1
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await conn.execute(_INSERT, [uuid4(), tenant_id, "c"])
        async with db.tenant(tenant_id) as conn:
            await conn.execute(_INSERT, [uuid4(), tenant_id, "d"])
            assert await _count(conn) == 3

    async def test_cannot_write_a_row_of_another_tenant(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.tenant(tenant_id) as conn:
                await conn.execute(_INSERT, [uuid4(), other_tenant_id, "a"])

    async def test_cannot_give_a_row_to_another_tenant(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.tenant(tenant_id) as conn:
                await conn.execute("update note set tenant_id = %s", [other_tenant_id])

    async def test_cannot_change_or_delete_rows_of_another(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id)
        async with db.tenant(other_tenant_id) as conn:
            assert (await conn.execute("update note set label = 'b'")).rowcount == 0
            assert (await conn.execute("delete from note")).rowcount == 0

    async def test_rolls_back_when_the_block_raises(self, db: Database, tenant_id: UUID) -> None:
        with pytest.raises(ZeroDivisionError):
            async with db.tenant(tenant_id) as conn:
                await conn.execute(_INSERT, [uuid4(), tenant_id, "a"])
                raise ZeroDivisionError
        async with db.tenant(tenant_id) as conn:
            assert await _count(conn) == 0

    async def test_rolls_back_when_its_task_is_cancelled(
        self, db: Database, tenant_id: UUID
    ) -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with db.tenant(tenant_id) as conn:
                await conn.execute(_INSERT, [uuid4(), tenant_id, "a"])
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with db.tenant(tenant_id) as conn:
            assert await _count(conn) == 0


_LABELS: LiteralString = "select labels_with(%(tenant)s, %(label)s) from tenant"


class TestCall:
    async def test_is_a_transaction_of_its_tenant(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        woken: list[str] = []
        db.listen("topic", lambda: woken.append("x"))
        await _add_note(db, other_tenant_id, "theirs")
        added = {"tenant": tenant_id, "label": "mine"}
        # Statements that come again are prepared: the tenant is that of each call all the same.
        for count in range(1, 8):
            assert await db.call(tenant_id, _LABELS, added, signal="topic") == [("mine",)] * count
            shown = await db.call(other_tenant_id, _LABELS, {"tenant": tenant_id, "label": ""})
            assert shown == [("theirs",)]
        assert woken == ["x"] * 7
        async with db.fleet() as conn:
            assert await _count(conn) == 0

    async def test_cannot_write_a_row_of_another_tenant(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await db.call(other_tenant_id, _LABELS, {"tenant": tenant_id, "label": "theirs"})
        async with db.tenant(tenant_id) as conn:
            assert await _count(conn) == 0


class TestRead:
    async def test_sees_rows_of_its_tenant_only_and_leaves_nothing_set(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id, "mine")
        await _add_note(db, other_tenant_id, "theirs")
        # On one connection, prepared after some times, and whatever plan is taken of a small table.
        for _ in range(8):
            for one, label in ((tenant_id, "mine"), (other_tenant_id, "theirs")):
                found = await db.read(one, scalar_row, _LABELS_READ, {"like": "%"})
                assert found == [label]
            async with db.fleet() as conn:
                assert await _count(conn) == 0

    async def test_names_the_tenant(self, db: Database, tenant_id: UUID) -> None:
        with pytest.raises(ValueError, match=r"tenant\.id"):
            await db.read(tenant_id, scalar_row, "select label from note", {})


class TestFleet:
    async def test_a_call_is_a_transaction_without_a_tenant(
        self, db: Database, tenant_id: UUID
    ) -> None:
        await _add_note(db, tenant_id)
        assert await db.fleet_call("select label from note", {}) == []
        job = {"tenant": tenant_id, "subject": uuid4()}
        added = (
            "insert into job (job_id, tenant_id, kind, subject_id, run_at)"
            " values (%(subject)s, %(tenant)s, 'work', %(subject)s, now())"
        )
        assert await db.fleet_call(added, job) == []
        assert await db.fleet_call("select subject_id from job", {}) == [(job["subject"],)]

    async def test_sees_no_rows_of_any_tenant(self, db: Database, tenant_id: UUID) -> None:
        await _add_note(db, tenant_id)
        async with db.fleet() as conn:
            assert await _count(conn) == 0

    async def test_cannot_write_rows_of_a_tenant(self, db: Database, tenant_id: UUID) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.fleet() as conn:
                await conn.execute(_INSERT, [uuid4(), tenant_id, "a"])


class TestReusedConnection:
    """A pooled connection that served tenant A leaves '' in the setting, not null."""

    @pytest.fixture
    async def one(self, settings: Any, opened: Any) -> Database:
        return await opened(await settings(postgres_pool_max=1))

    async def _backend(self, conn: Any) -> int:
        return (await (await conn.execute("select pg_backend_pid()")).fetchone())[0]

    async def test_sees_nothing_of_the_tenant_before(
        self, one: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        async with one.tenant(tenant_id) as conn:
            first = await self._backend(conn)
            await conn.execute(_INSERT, [uuid4(), tenant_id, "a"])
        async with one.tenant(other_tenant_id) as conn:
            assert await self._backend(conn) == first
            assert await _count(conn) == 0
        async with one.fleet() as conn:
            assert await self._backend(conn) == first
            assert await _count(conn) == 0

    async def test_sees_nothing_without_any_setting(self, one: Database, tenant_id: UUID) -> None:
        await _add_note(one, tenant_id)
        async with one._pool.connection() as conn:
            setting = await conn.execute("select current_setting('fleetdesk.tenant_id', true)")
            assert await setting.fetchone() == ("",)
            assert await _count(conn) == 0

    async def test_sees_nothing_after_a_failed_transaction(
        self, one: Database, tenant_id: UUID
    ) -> None:
        with pytest.raises(psycopg.errors.UndefinedTable):
            async with one.tenant(tenant_id) as conn:
                await conn.execute("select from nowhere")
        async with one._pool.connection() as conn:
            assert await _count(conn) == 0


class TestRole:
    async def test_is_neither_superuser_nor_above_policies(self, db: Database) -> None:
        async with db.fleet() as conn:
            row = await conn.execute(
                "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb"
                " from pg_roles where rolname = current_user"
            )
            assert await row.fetchone() == (False,)

    @pytest.mark.parametrize(
        "statement",
        [
            "alter table note disable row level security",
            "drop policy tenant_isolation on note",
            "truncate note",
            "create table more (x int)",
            "drop table note",
            "delete from schema_migration",
            "set role probe_owner",
        ],
    )
    async def test_may_not_touch_the_structure(
        self, db: Database, statement: LiteralString
    ) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.fleet() as conn:
                await conn.execute(statement)

    async def test_may_not_see_another_schema(self, databases: Databases) -> None:
        database = await databases.empty("probe")
        await provision(
            databases.admin_url,
            ["stranger"],
            database=database.name,
            passwords={"stranger": "x", "stranger_owner": "y"},
        )
        url = database.url.replace("//probe:", "//stranger:")
        url = url.replace(databases._password, "x")
        await migrate(database.owner_url, "harness.probe")
        async with await psycopg.AsyncConnection.connect(url) as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await conn.execute("select * from probe.note")

    async def test_owner_is_under_the_policies_too(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        made = await settings()
        await _add_note(await opened(made), tenant_id)
        owner_url = made.postgres_owner_url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(owner_url) as conn:
            assert await _count(conn) == 0


class TestErrors:
    async def test_no_free_connection_is_unavailable(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        db = await opened(await settings(postgres_pool_max=1))
        async with db.tenant(tenant_id):
            db._pool.timeout = 0.1  # from here on: the first connection may take its time
            with pytest.raises(Unavailable):
                async with db.tenant(tenant_id):
                    pass

    async def test_no_server_is_unavailable(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        db = await opened(
            (await settings()).model_copy(
                update={"postgres_url": SecretStr("postgresql://x:y@127.0.0.1:1/z")}
            )
        )
        db._pool.timeout = 0.2
        with pytest.raises(Unavailable):
            await db.ping()

    async def test_a_slow_statement_exceeds_its_deadline(self, db: Database) -> None:
        with pytest.raises(DeadlineExceeded):
            async with db.fleet() as conn:
                await conn.execute("set local statement_timeout = '20ms'")
                await conn.execute("select pg_sleep(5)")

    async def test_connections_that_died_in_the_pool_are_passed_over(
        self, settings: Any, opened: Any
    ) -> None:
        made = await settings(postgres_pool_max=3)
        db = await opened(made)
        await asyncio.gather(*(db.ping() for _ in range(6)))
        await self._end_backends(made)
        await asyncio.gather(*(db.ping() for _ in range(6)))

    async def test_a_call_is_made_again_where_its_connection_was_lost(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        made = await settings()
        db = await opened(made)
        await db.ping()
        await self._end_backends(made)
        asked = {"tenant": tenant_id, "label": "mine"}
        assert await db.call(tenant_id, _LABELS, asked) == [("mine",)]

    async def test_a_connection_lost_half_way_is_unavailable(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        made = await settings()
        db = await opened(made)
        with pytest.raises(Unavailable):
            async with db.tenant(tenant_id) as conn:
                await self._end_backends(made)
                await conn.execute("select 1")
        await db.ping()

    async def _end_backends(self, settings: Any) -> None:
        """Ends every connection to the database, as a restart of the server does."""
        owner_url = settings.postgres_owner_url.get_secret_value()
        url = settings.postgres_url.get_secret_value()
        assert owner_url != url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
                " and usename = current_user"
            )


class TestListen:
    async def test_wakes_after_the_commit_only(self, db: Database, tenant_id: UUID) -> None:
        woken: list[str] = []
        db.listen("topic", lambda: woken.append("x"))
        async with db.tenant(tenant_id) as conn:
            conn.signal("topic")
            assert woken == []
        assert woken == ["x"]

    async def test_does_not_wake_after_a_rollback(self, db: Database, tenant_id: UUID) -> None:
        woken: list[str] = []
        db.listen("topic", lambda: woken.append("x"))
        with pytest.raises(ZeroDivisionError):
            async with db.tenant(tenant_id) as conn:
                conn.signal("topic")
                raise ZeroDivisionError
        await db.ping()
        assert woken == []


class TestKnownTenants:
    async def test_lists_each_once_in_id_order(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        for tenant in (tenant_id, other_tenant_id, tenant_id):
            async with db.tenant(tenant) as conn:
                await remember_tenant(conn, tenant)
        first, second = sorted((tenant_id, other_tenant_id))
        assert await known_tenants(db) == [first, second]
        assert await known_tenants(db, first) == [second]
        assert await known_tenants(db, second) == []


class TestProvision:
    async def test_is_idempotent_and_keeps_given_passwords(self, databases: Databases) -> None:
        database = await databases.empty("probe")
        passwords = {"probe": databases._password, "probe_owner": databases._password}
        again = await provision(
            databases.admin_url, ["probe"], database=database.name, passwords=passwords
        )
        assert again == passwords
        await (await psycopg.AsyncConnection.connect(database.url)).close()

    async def test_gives_vectors_to_every_role(self, db: Database) -> None:
        async with db.fleet() as conn:
            row = await conn.execute("select '[1,0]'::vector <=> '[0,1]'::vector")
            assert await row.fetchone() == (1.0,)


SHARED = sorted(file.name for file in (files("fleetkit.postgres") / "shared").iterdir())


class TestMigrate:
    async def test_applies_each_file_once(self, databases: Databases) -> None:
        database = await databases.empty("probe")
        first = await migrate(database.owner_url, "harness.probe")
        assert first == [*(f"fleetkit/{name}" for name in SHARED), "0001_note.sql"]
        assert await migrate(database.owner_url, "harness.probe") == []

    async def test_two_at_once_apply_each_file_once(self, databases: Databases) -> None:
        database = await databases.empty("probe")
        both = await asyncio.gather(
            *(migrate(database.owner_url, "harness.probe") for _ in range(2))
        )
        assert sorted(map(len, both)) == [0, len(SHARED) + 1]

    async def test_refuses_a_file_that_changed(self, databases: Databases) -> None:
        database = await databases.copy("probe")
        async with await psycopg.AsyncConnection.connect(database.owner_url) as conn:
            await conn.execute("update schema_migration set sha256 = 'x' where name like '0001%'")
        with pytest.raises(FailedPrecondition, match=r"0001_note\.sql"):
            await migrate(database.owner_url, "harness.probe")

    async def test_files_of_a_newer_program_do_no_harm(self, databases: Databases) -> None:
        database = await databases.copy("probe")
        async with await psycopg.AsyncConnection.connect(database.owner_url) as conn:
            await conn.execute("insert into schema_migration values ('0099_later.sql', 'x')")
        assert await migrate(database.owner_url, "harness.probe") == []

    def test_a_package_without_migrations_has_none(self) -> None:
        assert migrations_of("fleetkit") == []

    def test_a_file_is_known_by_its_sha256(self) -> None:
        assert Migration("a", "").sha256.startswith("e3b0c44298fc1c14")
