"""Each container's environment is one that its service takes."""

import asyncio
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from fleetdesk_local.cluster import secrets
from fleetdesk_local.cluster.policies import calls
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.roster import SERVICES, package_of
from fleetkit.config import FleetSettings
from harness.manifests import OVERLAYS, ROOT, environment, pods, rendered

FOLDERS = [f"overlays/{name}" for name in OVERLAYS]


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """The folder of a cluster's secrets."""
    folder = tmp_path_factory.mktemp("cluster")
    secrets.write(folder, secrets.POSTGRES)
    return folder


@pytest.fixture(scope="module")
def made(private):
    return list(yaml.safe_load_all((private / "secrets.yaml").read_text()))


def check_config(service: str, variables: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", package_of(service), "check-config"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def container_of(folder: str, kind: str, name: str) -> dict:
    return next(
        each
        for pod in pods(rendered(folder))
        if pod.kind == kind
        for each in pod.containers
        if each["name"] == name
    )


def environment_of(folder: str, kind: str, name: str, made: list) -> dict[str, str]:
    return environment(container_of(folder, kind, name), [*rendered(folder), *made])


def settings_class(service: str) -> Any:
    """The class that reads the environment of a service."""
    found = vars(import_module(f"{package_of(service)}.config")).values()
    return next(
        each
        for each in found
        if isinstance(each, type) and issubclass(each, FleetSettings) and each is not FleetSettings
    )


@pytest.mark.parametrize("service", SERVICES)
class TestServices:
    @pytest.mark.parametrize("folder", FOLDERS)
    def test_take_their_environment(self, folder, service, made, monkeypatch):
        for name, value in environment_of(folder, "Deployment", service, made).items():
            monkeypatch.setenv(name, value)
        settings = settings_class(service)()
        wanted = "local" if folder.endswith("local") else "production"
        assert settings.environment == wanted

    def test_are_given_what_they_know(self, service, made):
        """A variable that the settings class does not know is a misspelt one."""
        fields = settings_class(service).model_fields
        container = container_of("overlays/production", "Deployment", service)
        given = {each["name"] for each in container["env"]}
        known = {f"FLEETDESK_{name.upper()}" for name in fields}
        assert {name for name in given if name.startswith("FLEETDESK_")} <= known

    def test_know_the_addresses_of_all_they_call(self, service, made):
        variables = environment_of("overlays/production", "Deployment", service, made)
        for callee in calls(ROOT)[service]:
            address = variables[f"FLEETDESK_{package_of(callee).upper()}_ADDRESS"]
            assert address == f"dns:///{callee}:50051"

    def test_serve_without_the_owners_password(self, service, made):
        variables = environment_of("overlays/production", "Deployment", service, made)
        assert "FLEETDESK_POSTGRES_OWNER_URL" not in variables
        assert f"//{package_of(service)}:" in variables["FLEETDESK_POSTGRES_URL"]

    def test_migrate_with_it(self, service, made, monkeypatch):
        variables = environment_of("overlays/production", "Job", service, made)
        assert f"//{package_of(service)}_owner:" in variables["FLEETDESK_POSTGRES_OWNER_URL"]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert settings_class(service)().postgres_owner_url is not None


class TestCheckConfig:
    def test_takes_what_the_gateway_is_given(self, made):
        done = check_config("gateway", gateway_environment(made))
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("FLEETDESK_SHUTDOWN_GRACE_S", "soon"),
            ("FLEETDESK_PUBLIC_URL", "http://desk.example.com"),
        ],
    )
    def test_refuses_a_wrong_one(self, made, name, wrong):
        done = check_config("gateway", gateway_environment(made) | {name: wrong})
        assert done.returncode == 2
        assert name.removeprefix("FLEETDESK_").lower() in done.stderr.lower()


def gateway_environment(made: list) -> dict[str, str]:
    return environment_of("overlays/production", "Deployment", "gateway", made)


class TestSecrets:
    def test_stay_when_made_again(self, private, made):
        secrets.write(private, secrets.POSTGRES)
        assert list(yaml.safe_load_all((private / "secrets.yaml").read_text())) == made

    def test_are_for_their_owner_alone(self, private):
        for path in [private, *private.rglob("*")]:
            if path.suffix != ".pub":
                assert not path.stat().st_mode & 0o077, path

    def test_no_pod_has_anothers(self, made):
        for pod in pods(rendered("overlays/production")):
            if pod.kind == "Deployment":
                text = yaml.safe_dump(pod.spec)
                named = set(re.findall(r"fleetdesk-([a-z-]+)", text)) & set(SERVICES)
                assert named == {pod.name}


class TestProvisioning:
    def test_the_jobs_roles_are_those_of_all_services(self):
        job = next(pod for pod in pods(rendered("base")) if pod.name == "migrations")
        provision = job.containers[0]
        assert [each for each in provision["args"] if not each.startswith("--")] == list(SERVICES)
        assert {each["name"] for each in job.containers[1:]} == set(SERVICES)

    async def test_prepares_an_empty_server_by_the_jobs_own_commands(self, made, tmp_path):
        server = PostgresServer(tmp_path / "data", durable=False)
        server.start()
        try:
            await asyncio.to_thread(run_job, server, made, tmp_path)
            billing = environment_of("overlays/local", "Deployment", "billing", made)
            url = moved(billing["FLEETDESK_POSTGRES_URL"], server)
            async with await psycopg.AsyncConnection.connect(url) as conn:
                found = await conn.execute("select count(*) from outbox")
                assert await found.fetchone() == (0,)
        finally:
            server.stop()


def run_job(server: PostgresServer, made: list, folder: Path) -> None:
    """Runs the Job's containers in their order, Secrets being files in `folder`."""
    login = urlsplit(server.admin_url)
    for name, content in {
        "superuser": {"username": login.username, "password": login.password},
        "roles": of_name(made, "fleetdesk-database-roles")["stringData"],
    }.items():
        (folder / name).mkdir()
        for key, text in content.items():
            (folder / name / key).write_text(text)
    job = next(pod for pod in pods(rendered("overlays/local")) if pod.name == "migrations")
    for container in job.containers:
        variables = environment(container, [*rendered("overlays/local"), *made])
        package = package_of(container["name"])
        command = container.get("command", ["python", "-m", package])[1:]
        arguments = [
            each.replace(
                "$(POSTGRES_SERVER)", moved(variables.get("POSTGRES_SERVER", ""), server)
            ).replace("/run/fleetdesk", str(folder))
            for each in container["args"]
        ]
        urls = {
            name: moved(text, server) for name, text in variables.items() if name.endswith("_URL")
        }
        done = subprocess.run(
            [sys.executable, *command, *arguments],
            env=variables | {name: url for name, url in urls.items() if "POSTGRES" in name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def moved(url: str, server: PostgresServer) -> str:
    """The URL on this machine's server, which has no TLS."""
    at_home = url.replace("fleetdesk-postgres-rw:5432", f"127.0.0.1:{server.port}")
    return at_home.partition("?")[0]


def of_name(objects: list, name: str) -> dict:
    return next(each for each in objects if each["metadata"]["name"] == name)
