"""Nothing passes between pods but the calls of the call table and what they need."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from fleetdesk_local.cluster.names import GRPC_PORT, HTTP_PORT, NATS_PORT, POSTGRES_PORT
from fleetdesk_local.cluster.policies import INTERNET_PORTS, calls
from fleetdesk_local.roster import SERVICES
from harness.manifests import RENDERED, ROOT, Manifest, name_of, of_kind, pods, rendered, selects

POSTGRES_PODS = {
    "fleetdesk.dev/server": "postgres",
    # What CloudNativePG gives its own.
    "cnpg.io/cluster": "fleetdesk-postgres",
}


def labels_of(folder: str) -> dict[str, dict[str, str]]:
    """Labels of the pods, by workload; PostgreSQL's as `postgres`."""
    found = {pod.name: dict(pod.labels) for pod in pods(rendered(folder))}
    found.pop("fleetdesk-postgres", None)
    return found | {"postgres": POSTGRES_PODS}


def passes(policies: list[Manifest], source: dict, target: dict, port: int) -> bool:
    """Whether a connection between two pods of the namespace is let out and let in."""
    return _allowed(policies, "egress", source, target, port) and _allowed(
        policies, "ingress", target, source, port
    )


def _allowed(policies: list[Manifest], way: str, pod: dict, peer: dict, port: int) -> bool:
    mine = [
        found["spec"]
        for found in policies
        if way.capitalize() in found["spec"]["policyTypes"]
        and selects(found["spec"]["podSelector"], pod)
    ]
    if not mine:
        return True  # without a policy everything passes
    side = "to" if way == "egress" else "from"
    return any(
        _has_port(rule, port) and _has_pod(rule.get(side), peer)
        for spec in mine
        for rule in spec.get(way) or []
    )


def _has_port(rule: Manifest, port: int) -> bool:
    return any(each["port"] == port and each["protocol"] == "TCP" for each in rule["ports"])


def _has_pod(peers: list[Manifest] | None, labels: dict) -> bool:
    if peers is None:
        return True
    return any(
        "podSelector" in peer
        and "namespaceSelector" not in peer
        and selects(peer["podSelector"], labels)
        for peer in peers
    )


@pytest.mark.parametrize("folder", RENDERED[1:])
class TestBetweenPods:
    def test_exactly_the_call_table_passes(self, folder):
        policies, labels = of_kind(folder, "NetworkPolicy"), labels_of(folder)
        table = {(caller, callee) for caller, found in calls(ROOT).items() for callee in found}
        passing = {
            (source, target)
            for source in labels
            for target in SERVICES
            if passes(policies, labels[source], labels[target], GRPC_PORT)
        }
        assert passing == table
        assert ("gateway", "conversation") in table

    def test_services_and_migrations_reach_postgresql_and_nothing_else_does(self, folder):
        policies, labels = of_kind(folder, "NetworkPolicy"), labels_of(folder)
        reaching = {
            source
            for source in labels
            if passes(policies, labels[source], labels["postgres"], POSTGRES_PORT)
        }
        assert reaching - {"postgres"} == {*SERVICES, "migrations"}

    def test_only_services_reach_nats(self, folder):
        policies, labels = of_kind(folder, "NetworkPolicy"), labels_of(folder)
        reaching = {
            source
            for source in labels
            if passes(policies, labels[source], labels["nats"], NATS_PORT)
        }
        assert reaching == set(SERVICES)

    def test_without_a_policy_everything_would_pass(self, folder):
        labels = labels_of(folder)
        assert passes([], labels["billing"], labels["gateway"], GRPC_PORT)
        denied = [found for found in of_kind(folder, "NetworkPolicy") if is_default(found)]
        assert not passes(denied, labels["gateway"], labels["conversation"], GRPC_PORT)


def is_default(found: Manifest) -> bool:
    return name_of(found) == "default-deny"


@pytest.mark.parametrize("folder", RENDERED)
class TestToAndFromOutside:
    def test_every_pod_has_a_policy_of_its_own(self, folder):
        own = [found for found in of_kind(folder, "NetworkPolicy") if found["spec"]["podSelector"]]
        for pod in pods(rendered(folder)):
            assert any(selects(found["spec"]["podSelector"], pod.labels) for found in own), pod.name

    def test_only_some_reach_the_internet(self, folder):
        reaching: dict[str, tuple[int, ...]] = {}
        for found in of_kind(folder, "NetworkPolicy"):
            for rule in found["spec"].get("egress") or []:
                if any("ipBlock" in peer for peer in rule.get("to", [])):
                    ports = tuple(each["port"] for each in rule["ports"])
                    reaching[name_of(found)] = ports
        assert reaching == INTERNET_PORTS

    @pytest.mark.parametrize(
        "address",
        ["10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "fd00::1", "fe80::1"],
    )
    def test_the_internet_is_not_the_cluster(self, folder, address):
        for block in blocks(folder):
            if ip_address(address) in ip_network(block["cidr"]):
                assert any(ip_address(address) in ip_network(hole) for hole in block["except"])

    def test_only_the_gateway_is_reached_by_the_ingress_controller(self, folder):
        reached = [
            (name_of(found), [each["port"] for each in rule["ports"]])
            for found in of_kind(folder, "NetworkPolicy")
            for rule in found["spec"].get("ingress") or []
            if "ingress-nginx" in str(rule["from"])
        ]
        # cert-manager's own pods answer the challenges of the certificate's authority.
        solver = [("acme-solver", [8089])] if of_kind(folder, "Ingress") else []
        assert sorted(reached) == [*solver, ("gateway", [HTTP_PORT])]


def blocks(folder: str) -> list[Any]:
    return [
        peer["ipBlock"]
        for found in of_kind(folder, "NetworkPolicy")
        for rule in found["spec"].get("egress") or []
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
