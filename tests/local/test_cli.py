import socket
import stat
import subprocess
import sys

import pytest
from fleetdesk_local import assets, cli, config
from fleetdesk_local.data_dir import DataDir, RunState
from fleetdesk_local.errors import LocalError


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETDESK_DATA_DIR", str(tmp_path / "data"))
    made = DataDir(tmp_path / "data")
    made.create()
    return made


class TestServices:
    def test_may_read_websites_on_loopback_where_a_person_says_so(self, monkeypatch):
        monkeypatch.setenv("FLEETDESK_FETCH_ALLOW", "127.0.0.0/8")
        monkeypatch.setenv("FLEETDESK_GRPC_BIND", "0.0.0.0:1")
        given = config.service_environment()
        assert given["FLEETDESK_FETCH_ALLOW"] == "127.0.0.0/8"
        assert "FLEETDESK_GRPC_BIND" not in given


class TestUp:
    def test_says_that_the_port_is_taken_and_what_to_do(self, data, monkeypatch, capsys):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            monkeypatch.setenv("FLEETDESK_HTTP_PORT", str(port))
            assert cli.main(["up"]) == 1
        said = capsys.readouterr().err
        assert said == (
            f"Port {port} is taken: stop what listens there, or choose another with "
            "FLEETDESK_HTTP_PORT.\n"
        )
        assert data.read_state().phase == "failed"

    def test_says_the_address_again_when_the_fleet_is_up_already(self, data, capsys):
        data.write_state(RunState("up", "fleetdesk is up: http://127.0.0.1:8080"))
        with data.exclusive() as ours:
            assert ours
            done = subprocess.run(
                [sys.executable, "-m", "fleetdesk_local", "up"],
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0
        assert done.stdout == "fleetdesk is up: http://127.0.0.1:8080\n"

    def test_says_which_database_it_could_not_use(self, data, monkeypatch, capsys):
        monkeypatch.setenv("FLEETDESK_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/x")
        monkeypatch.setenv("FLEETDESK_HTTP_PORT", "28999")
        assert cli.main(["up"]) == 1
        said = capsys.readouterr().err
        assert "FLEETDESK_POSTGRES_URL must be that of an administrator" in said

    def test_says_which_bus_it_could_not_use(self, data, monkeypatch, capsys):
        monkeypatch.setenv("FLEETDESK_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/x")
        monkeypatch.setenv("FLEETDESK_NATS_URL", "nats://127.0.0.1:2")
        monkeypatch.setenv("FLEETDESK_HTTP_PORT", "28999")
        assert cli.main(["up"]) == 1
        assert "No NATS answers at 127.0.0.1:2" in capsys.readouterr().err


class TestSettings:
    def test_names_the_variable_that_is_wrong(self, data, monkeypatch, capsys):
        monkeypatch.setenv("FLEETDESK_HTTP_PORT", "eighty")
        assert cli.main(["status"]) == 1
        assert capsys.readouterr().err.startswith("FLEETDESK_HTTP_PORT is not right:")


class TestStatus:
    def test_says_that_the_fleet_is_not_up(self, data, capsys):
        data.write_state(RunState("up", "fleetdesk is up: http://127.0.0.1:8080"))
        assert cli.main(["status"]) == 1
        assert "the fleet is not up: run `make up`" in capsys.readouterr().out


class TestDownAndReset:
    def test_down_is_fine_when_nothing_runs(self, data, capsys):
        assert cli.main(["down"]) == 0
        assert capsys.readouterr().out == "the fleet was not up\n"

    def test_reset_deletes_the_data(self, data):
        (data.path / "demo.json").write_text("{}")
        assert cli.main(["reset"]) == 0
        assert not data.path.exists()

    def test_reset_is_fine_when_there_is_none(self, data):
        assert cli.main(["reset"]) == 0
        assert cli.main(["reset"]) == 0


class TestLogs:
    def test_names_the_logs_that_there_are(self, data, capsys):
        (data.logs / "gateway.log").touch()
        assert cli.main(["logs", "gatway"]) == 1
        assert "there are gateway" in capsys.readouterr().err


class TestDataFolder:
    def test_lets_others_pass_but_not_look(self, data):
        assert stat.S_IMODE(data.path.stat().st_mode) == 0o711
        for private in (data.keys, data.logs, data.run, data.blobs):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700


class TestState:
    def test_is_private_for_it_holds_the_demo_login(self, data):
        data.write_state(RunState("up", "…"))
        assert stat.S_IMODE((data.path / "state.json").stat().st_mode) == 0o600


class TestAssets:
    @pytest.fixture
    def web(self, tmp_path):
        folder = tmp_path / "web"
        folder.mkdir()
        (folder / "package-lock.json").write_text(
            '{"name": "web", "lockfileVersion": 3, "packages": {"": {"name": "web"}}}'
        )
        return folder

    def package(self, web, build):
        (web / "package.json").write_text(
            f'{{"name": "web", "private": true, "scripts": {{"build": "{build}"}}}}'
        )

    def test_are_built_once_and_again_when_they_change(self, web, tmp_path):
        self.package(web, "echo built >> ../count")
        (web / "node_modules").mkdir()
        assert assets.ensure_assets(web, tmp_path / "static")
        assert not assets.ensure_assets(web, tmp_path / "static")
        (web / "page.css").write_text("a { color: red }")
        assert assets.ensure_assets(web, tmp_path / "static")
        assert (tmp_path / "count").read_text() == "built\nbuilt\n"

    def test_a_failed_build_is_one_sentence_under_what_npm_said(self, web, tmp_path, capsys):
        self.package(web, "echo style.css is broken; exit 3")
        (web / "node_modules").mkdir()
        with pytest.raises(LocalError, match="`npm run build` failed in"):
            assets.ensure_assets(web, tmp_path / "static")
        assert "style.css is broken" in capsys.readouterr().err
        assert not (tmp_path / "static" / ".stamp").exists()
