"""Every object of every overlay is one that a cluster takes."""

import copy
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import jsonschema
import pytest
import yaml
from fleetdesk_local.cluster import secrets
from fleetdesk_local.cluster.__main__ import stale
from fleetdesk_local.roster import SERVICES
from harness.manifests import (
    KUBERNETES,
    RENDERED,
    ROOT,
    UnknownKind,
    name_of,
    of_kind,
    pods,
    references,
    rendered,
    validate,
)

# Made by hand or by an operator: CloudNativePG, the owner of the providers' keys.
FROM_OUTSIDE = {
    "fleetdesk-blobs",
    "fleetdesk-mail",
    "fleetdesk-postgres-ca",
    "fleetdesk-providers",
}


@pytest.fixture(scope="module")
def made_secrets():
    with tempfile.TemporaryDirectory() as folder:
        path = secrets.write(Path(folder), secrets.POSTGRES)
        yield list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", RENDERED)
class TestEveryObject:
    def test_is_valid(self, folder, version):
        for found in rendered(folder):
            validate(found, version)

    def test_secrets_are_valid(self, folder, version, made_secrets):
        for found in made_secrets:
            validate(found, version)


class TestTheCheckItself:
    def test_an_unknown_kind_fails(self):
        with pytest.raises(UnknownKind):
            validate({"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "x"}}, "1.33")

    @pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "Cluster", "ScaledObject"])
    def test_an_unknown_field_fails(self, kind):
        found = copy.deepcopy(of_kind("overlays/production", kind)[0])
        found["spec"]["replicsa"] = 3
        with pytest.raises(jsonschema.ValidationError):
            validate(found, "1.33")

    @pytest.mark.parametrize(
        ("kind", "field", "value"),
        [
            ("Cluster", "instances", "three"),
            ("ScaledObject", "triggers", {}),
            ("Job", "parallelism", "x"),
        ],
    )
    def test_a_wrong_type_fails(self, kind, field, value):
        found = copy.deepcopy(of_kind("overlays/production", kind)[0])
        found["spec"][field] = value
        with pytest.raises(jsonschema.ValidationError):
            validate(found, "1.33")


def test_generated_files_are_as_the_protos_and_handlers_say():
    assert stale(ROOT) == []


@pytest.mark.parametrize("folder", RENDERED)
class TestNames:
    def test_all_is_in_one_namespace(self, folder):
        outside = [
            f"{found['kind']} {name_of(found)}"
            for found in rendered(folder)
            if found["kind"] != "Namespace" and found["metadata"].get("namespace") != "fleetdesk"
        ]
        assert outside == []

    def test_what_pods_refer_to_exists(self, folder, made_secrets):
        there = {(found["kind"], name_of(found)) for found in [*rendered(folder), *made_secrets]}
        for pod in pods(rendered(folder)):
            for kind, name, optional in references(pod):
                assert (kind, name) in there or (optional and name in FROM_OUTSIDE), name

    def test_images_have_a_version(self, folder):
        images = [
            container["image"] for pod in pods(rendered(folder)) for container in pod.containers
        ]
        images += [found["spec"]["imageName"] for found in of_kind(folder, "Cluster")]
        loose = [image for image in images if unversioned(image)]
        assert loose == []


def unversioned(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return not any(character.isdigit() for character in tag)


def test_a_loose_tag_is_seen():
    assert unversioned("fleetdesk/billing")
    assert unversioned("fleetdesk/billing:latest")
    assert unversioned("registry:5000/fleetdesk/billing")
    assert not unversioned("registry:5000/fleetdesk/billing:0.1.0")


@pytest.mark.parametrize("folder", RENDERED)
def test_migrations_can_run_before_the_services(folder):
    """What `kubectl apply -l app.kubernetes.io/component!=service` takes is enough for the Job."""
    label = "app.kubernetes.io/component"
    first = [
        found
        for found in rendered(folder)
        if found["metadata"].get("labels", {}).get(label) != "service"
    ]
    kinds = {found["kind"] for found in first}
    assert "Deployment" not in kinds
    assert {"Job", "Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy"} <= kinds
    left = {found["kind"] for found in rendered(folder)} - kinds
    assert left == {"Deployment"}


def test_skaffold_builds_what_is_deployed():
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    built = {
        each["image"]: each["docker"]["buildArgs"]["SERVICE"]
        for each in config["build"]["artifacts"]
    }
    assert built == {f"fleetdesk/{service}": service for service in SERVICES}
    dockerfiles = {each["docker"]["dockerfile"] for each in config["build"]["artifacts"]}
    assert all((ROOT / path).is_file() for path in dockerfiles)


def test_the_dockerfile_is_clean():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    dockerfile = ROOT / "deploy/docker/Dockerfile"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
