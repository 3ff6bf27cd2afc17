"""When KEDA adds replicas: processors are busy, or events wait for a durable."""

from typing import Any

import yaml
from fleetkit.events.envelope import stream_of
from fleetkit.postgres.provision import schema_of

from fleetdesk_local import docs, nats_auth
from fleetdesk_local.cluster import names
from fleetdesk_local.roster import SERVICES

MIN_REPLICAS = 2
MAX_REPLICAS = 6
_BUSY_PERCENT = 70
# A replica handles eight events at once: a hundred are waiting when it is behind, not busy.
_LAG_EVENTS = 100


def render() -> str:
    """One ScaledObject a service, as YAML."""
    streams: dict[str, set[str]] = {service: set() for service in SERVICES}
    for event, consumers in docs.consumers().items():
        for service in consumers:
            streams[service].add(stream_of(event))
    objects = [_scaled(service, sorted(found)) for service, found in streams.items()]
    return yaml.safe_dump_all(objects, sort_keys=False)


def _scaled(service: str, streams: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": service},
        "spec": {
            "scaleTargetRef": {"name": service},
            "minReplicaCount": MIN_REPLICAS,
            "maxReplicaCount": MAX_REPLICAS,
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    # Visitors come in waves: what was started for one stays for the next.
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}
                }
            },
            "triggers": [_cpu(), *(_lag(service, stream) for stream in streams)],
        },
    }


def _cpu() -> dict[str, Any]:
    return {
        "type": "cpu",
        "metricType": "Utilization",
        "metadata": {"value": str(_BUSY_PERCENT)},
    }


def _lag(service: str, stream: str) -> dict[str, Any]:
    return {
        "type": "nats-jetstream",
        "metadata": {
            "natsServerMonitoringEndpoint": f"nats.fleetdesk.svc:{names.NATS_MONITOR_PORT}",
            "account": nats_auth.FLEET,
            "stream": stream,
            "consumer": schema_of(service),
            "lagThreshold": str(_LAG_EVENTS),
        },
    }
