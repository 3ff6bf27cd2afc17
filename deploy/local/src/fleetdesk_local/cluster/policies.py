"""Network policies: nothing passes but the calls that the protos allow, and what those need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fleetdesk_local import docs
from fleetdesk_local.cluster import names
from fleetdesk_local.roster import SERVICES

_Rule = dict[str, Any]

# Mail; hosted models; the pages that tenants name, and the bucket of their originals.
INTERNET_PORTS: Mapping[str, tuple[int, ...]] = {
    "gateway": (465, 587),
    "llm-gateway": (443,),
    "retrieval": (80, 443),
}
_PRIVATE_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
]
_PRIVATE_V6 = ["::1/128", "fc00::/7", "fe80::/10", "ff00::/8"]


def calls(root: Path) -> dict[str, set[str]]:
    """Who may call whom, as the RPCs' access options say: caller → callees."""
    from fleetdesk.options.v1 import access_pb2

    found: dict[str, set[str]] = {service: set() for service in SERVICES}
    for file in docs.files(root):
        callee = file.package.split(".")[1].replace("_", "-")
        for service in file.services_by_name.values():
            for method in service.methods:
                access = method.GetOptions().Extensions[access_pb2.access]
                for caller in (*access.callers, *access.background):
                    found[caller].add(callee)
    return found


def render(root: Path) -> str:
    """All policies of the namespace but those of a component's own pods, as YAML."""
    allowed = calls(root)
    policies = [_deny_all(), _allow_dns(), _nats(), _migrations()]
    policies += [_service(service, allowed) for service in SERVICES]
    return yaml.safe_dump_all(policies, sort_keys=False)


def _policy(name: str, pods: _Rule, **spec: Any) -> _Rule:
    kinds = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": pods, "policyTypes": kinds, **spec},
    }


def _deny_all() -> _Rule:
    return _policy("default-deny", {}, ingress=[], egress=[])


def _allow_dns() -> _Rule:
    peer = {**_namespace("kube-system"), **_pods({"k8s-app": "kube-dns"})}
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return _policy("allow-dns", {}, egress=[{"to": [peer], "ports": ports}])


def _nats() -> _Rule:
    peers = [_pods(names.NATS_PODS)]
    return _policy(
        "nats",
        {"matchLabels": names.NATS_PODS},
        ingress=[
            _from([_services(SERVICES)], names.NATS_PORT),
            _from(peers, names.NATS_ROUTE_PORT),
            _from(
                [_namespace(names.KEDA_NAMESPACE), _namespace(names.MONITORING_NAMESPACE)],
                names.NATS_MONITOR_PORT,
            ),
        ],
        egress=[_to(peers, names.NATS_ROUTE_PORT)],
    )


def _migrations() -> _Rule:
    return _policy(
        "migrations",
        {"matchLabels": names.MIGRATION_PODS},
        egress=[_to([_pods(names.POSTGRES_PODS)], names.POSTGRES_PORT)],
    )


def _service(service: str, allowed: Mapping[str, set[str]]) -> _Rule:
    ingress = [_from([_namespace(names.MONITORING_NAMESPACE)], names.METRICS_PORT)]
    callers = sorted(caller for caller, callees in allowed.items() if service in callees)
    if callers:
        ingress.append(_from([_services(callers)], names.GRPC_PORT))
    if service == "gateway":
        ingress.append(_from([_namespace(names.INGRESS_NAMESPACE)], names.HTTP_PORT))
    egress = [
        _to([_pods(names.POSTGRES_PODS)], names.POSTGRES_PORT),
        _to([_pods(names.NATS_PODS)], names.NATS_PORT),
    ]
    if allowed[service]:
        egress.append(_to([_services(sorted(allowed[service]))], names.GRPC_PORT))
    if ports := INTERNET_PORTS.get(service):
        egress.append(_to(_internet(), *ports))
    return _policy(service, {"matchLabels": {names.NAME: service}}, ingress=ingress, egress=egress)


def _from(peers: list[_Rule], *ports: int) -> _Rule:
    return {"from": peers, "ports": _tcp(ports)}


def _to(peers: list[_Rule], *ports: int) -> _Rule:
    return {"to": peers, "ports": _tcp(ports)}


def _tcp(ports: tuple[int, ...]) -> list[_Rule]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _services(services: list[str] | tuple[str, ...]) -> _Rule:
    among = {"key": names.NAME, "operator": "In", "values": list(services)}
    return {"podSelector": {"matchExpressions": [among]}}


def _pods(labels: Mapping[str, str]) -> _Rule:
    return {"podSelector": {"matchLabels": dict(labels)}}


def _namespace(name: str) -> _Rule:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _internet() -> list[_Rule]:
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_PRIVATE_V4)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_PRIVATE_V6)}},
    ]
