"""The services of the fleet, by name: the one list of them."""

SERVICES = (
    "analytics",
    "billing",
    "conversation",
    "gateway",
    "llm-gateway",
    "memory",
    "retrieval",
    "vision-agent",
)


def package_of(service: str) -> str:
    """The Python package of a service."""
    return service.replace("-", "_")


PACKAGES = tuple(package_of(service) for service in SERVICES)
