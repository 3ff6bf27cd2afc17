"""What each container may do: as little as it can work with."""

import copy

import pytest
from fleetdesk_local.cluster.scaling import MAX_REPLICAS
from fleetdesk_local.roster import SERVICES
from harness.manifests import RENDERED, Pod, name_of, of_kind, pods, rendered, selects

# Added up: pool, relay's and listeners' own connections, one of a migration.
CONNECTIONS_BESIDE_POOL = 2


def weaknesses(pod: Pod) -> list[str]:
    """What is missing of the hardening of a pod, a line each."""
    security = pod.spec.get("securityContext", {})
    expected = {
        "runAsNonRoot": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
        "seccomp": security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "no token": pod.spec.get("automountServiceAccountToken") is False,
        "own account": pod.spec.get("serviceAccountName", "default") != "default",
        "no host": not any(pod.spec.get(f"host{name}") for name in ("Network", "PID", "IPC")),
        "no host path": not any("hostPath" in volume for volume in pod.spec.get("volumes", [])),
        "bounded scratch": all(
            "sizeLimit" in volume["emptyDir"]
            for volume in pod.spec.get("volumes", [])
            if "emptyDir" in volume
        ),
    }
    found = [f"{pod.name}: {name}" for name, holds in expected.items() if not holds]
    for container in pod.containers:
        found += _weaknesses_of_container(pod, container)
    return found


def _weaknesses_of_container(pod: Pod, container: dict) -> list[str]:
    security = container.get("securityContext", {})
    limits = container.get("resources", {}).get("limits", {})
    requests = container.get("resources", {}).get("requests", {})
    expected = {
        "read-only": security.get("readOnlyRootFilesystem") is True,
        "no escalation": security.get("allowPrivilegeEscalation") is False,
        "no capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "not privileged": not security.get("privileged"),
        "not root": "runAsUser" not in security and "runAsNonRoot" not in security,
        "limits": {"cpu", "memory"} <= limits.keys(),
        "requests": {"cpu", "memory"} <= requests.keys(),
        "probes": pod.kind == "Job"
        or {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(),
    }
    where = f"{pod.name}/{container['name']}"
    return [f"{where}: {name}" for name, holds in expected.items() if not holds]


@pytest.mark.parametrize("folder", RENDERED)
class TestPods:
    def test_may_do_little(self, folder):
        assert [weak for pod in pods(rendered(folder)) for weak in weaknesses(pod)] == []

    def test_have_a_disruption_budget(self, folder):
        budgets = [found["spec"]["selector"] for found in of_kind(folder, "PodDisruptionBudget")]
        for pod in pods(rendered(folder)):
            if pod.kind != "Job":
                assert sum(selects(budget, pod.labels) for budget in budgets) == 1, pod.name

    def test_have_time_to_drain(self, folder):
        for pod in pods(rendered(folder)):
            for container in pod.spec["containers"]:
                variables = {each["name"]: each.get("value") for each in container.get("env", [])}
                if grace := variables.get("FLEETDESK_SHUTDOWN_GRACE_S"):
                    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
                    longest = pause + float(grace) + 10
                    assert pod.spec["terminationGracePeriodSeconds"] >= longest, pod.name

    def test_the_namespace_refuses_weaker_ones(self, folder):
        labels = of_kind(folder, "Namespace")[0]["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("folder", RENDERED)
class TestServices:
    def test_each_is_deployed_and_told_to_drain(self, folder):
        deployed = {name_of(found): found for found in of_kind(folder, "Deployment")}
        assert deployed.keys() == set(SERVICES)
        for service, found in deployed.items():
            container = found["spec"]["template"]["spec"]["containers"][0]
            assert container["image"].startswith(f"fleetdesk/{service}:")
            names = {each["name"] for each in container["env"]}
            assert "FLEETDESK_SHUTDOWN_GRACE_S" in names

    def test_are_headless_but_the_gateway(self, folder):
        for found in of_kind(folder, "Service"):
            headless = found["spec"].get("clusterIP") == "None"
            assert headless == (name_of(found) != "gateway"), name_of(found)

    def test_ports_meet(self, folder):
        """A Service's port has a pod behind it that opens it."""
        for found in of_kind(folder, "Service"):
            behind = [
                pod
                for pod in pods(rendered(folder))
                if selects({"matchLabels": found["spec"]["selector"]}, pod.labels)
            ]
            assert len(behind) <= 1
            opened = {
                port["name"]
                for pod in behind
                for container in pod.containers
                for port in container["ports"]
            }
            if behind:
                assert {port["targetPort"] for port in found["spec"]["ports"]} <= opened

    def test_only_the_gateway_is_reached_from_outside(self, folder):
        backends = [
            path["backend"]["service"]["name"]
            for found in of_kind(folder, "Ingress")
            for rule in found["spec"]["rules"]
            for path in rule["http"]["paths"]
        ]
        assert set(backends) <= {"gateway"}
        kinds = {found["spec"].get("type", "ClusterIP") for found in of_kind(folder, "Service")}
        assert kinds == {"ClusterIP"}


class TestProduction:
    def test_keda_and_not_the_deployment_sets_replicas(self):
        scaled = {
            found["spec"]["scaleTargetRef"]["name"]
            for found in of_kind("overlays/production", "ScaledObject")
        }
        deployed = of_kind("overlays/production", "Deployment")
        assert scaled == {name_of(found) for found in deployed}
        assert all("replicas" not in found["spec"] for found in deployed)

    def test_postgresql_bears_all_pools_of_all_replicas(self):
        from billing.config import Settings
        from gateway.config import GatewaySettings

        pools = dict.fromkeys(SERVICES, Settings) | {"gateway": GatewaySettings}
        most = sum(
            MAX_REPLICAS
            * (pool.model_fields["postgres_pool_max"].default + CONNECTIONS_BESIDE_POOL)
            for pool in pools.values()
        )
        parameters = of_kind("overlays/production", "Cluster")[0]["spec"]["postgresql"][
            "parameters"
        ]
        assert int(parameters["max_connections"]) > most

    def test_acknowledged_means_on_disk(self):
        config = next(
            found["data"]["nats.conf"]
            for found in of_kind("overlays/production", "ConfigMap")
            if "nats.conf" in found["data"]
        )
        assert "\n  sync_interval: always\n" in config


WAYS_TO_WEAKEN = {
    "runAsNonRoot": lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    "seccomp": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "no token": lambda spec: spec.pop("automountServiceAccountToken"),
    "own account": lambda spec: spec.pop("serviceAccountName"),
    "no host": lambda spec: spec.update(hostNetwork=True),
    "no host path": lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "bounded scratch": lambda spec: spec["volumes"].append({"name": "x", "emptyDir": {}}),
    "read-only": lambda spec: security_of(spec).pop("readOnlyRootFilesystem"),
    "no escalation": lambda spec: security_of(spec).pop("allowPrivilegeEscalation"),
    "no capabilities": lambda spec: security_of(spec)["capabilities"].update(add=["NET_ADMIN"]),
    "not privileged": lambda spec: security_of(spec).update(privileged=True),
    "not root": lambda spec: security_of(spec).update(runAsUser=0),
    "limits": lambda spec: spec["containers"][0]["resources"]["limits"].pop("memory"),
    "requests": lambda spec: spec["containers"][0]["resources"]["requests"].pop("cpu"),
    "probes": lambda spec: spec["containers"][0].pop("livenessProbe"),
}


def security_of(spec: dict) -> dict:
    return spec["containers"][0]["securityContext"]


@pytest.mark.parametrize("way", WAYS_TO_WEAKEN)
def test_each_weakness_is_seen(way):
    pod = next(pod for pod in pods(rendered("base")) if pod.name == "billing")
    spec = copy.deepcopy(pod.spec)
    WAYS_TO_WEAKEN[way](spec)
    found = weaknesses(Pod(pod.kind, pod.name, pod.labels, spec))
    assert [line.partition(": ")[2] for line in found] == [way]
