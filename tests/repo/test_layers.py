"""Imports go one way within a service: main > api, events > capabilities > store > config."""

from functools import cache

import grimp
import pytest
from fleetdesk_local.roster import PACKAGES

TRANSPORTS = {"grpc", "nats", "litestar"}
ENTRIES = {"main", "api", "events", "__main__"}
# The gateway is HTTP: what is around a request may know it. Its rules and its SQL may not.
GATEWAY_RULES = {"auth", "store", "config", "shapes", "views"}
KNOWS_TRANSPORT = {
    "gateway.clients": "makes the stubs",
    "gateway.shapes.common": "describes the paging parameters as the framework reads them",
}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True)


def part_of(module: str) -> str:
    """The part of a service that a module belongs to: "store" for `memory.store.turns`."""
    return module.split(".")[1]


def upward_imports(imports: grimp.ImportGraph, service: str) -> list[str]:
    """Imports from below into main, api or events, and from config into anything of its own."""
    found = []
    for module in modules(imports, service):
        part = part_of(module)
        for imported in imports.find_modules_directly_imported_by(module):
            if not imported.startswith(f"{service}."):
                continue
            is_entry = part_of(imported) in ENTRIES and part not in ENTRIES
            if is_entry or part == "config":
                found.append(f"{module} → {imported}")
    return sorted(found)


def transports_below_the_api(imports: grimp.ImportGraph, service: str) -> list[str]:
    """Capabilities and stores that know how they are called."""
    found = []
    for module in modules(imports, service):
        part = part_of(module)
        is_rule = part in GATEWAY_RULES if service == "gateway" else part not in ENTRIES
        if not is_rule or module in KNOWS_TRANSPORT:
            continue
        used = imports.find_modules_directly_imported_by(module) & TRANSPORTS
        found += [f"{module} → {transport}" for transport in sorted(used)]
    return sorted(found)


def modules(imports: grimp.ImportGraph, service: str) -> list[str]:
    return sorted(name for name in imports.modules if name.startswith(f"{service}."))


@pytest.mark.parametrize("service", PACKAGES)
def test_nothing_imports_upward(service):
    assert upward_imports(graph(), service) == []


@pytest.mark.parametrize("service", PACKAGES)
def test_capabilities_and_stores_know_no_transport(service):
    assert transports_below_the_api(graph(), service) == []


def test_a_breach_would_be_seen():
    broken = grimp.ImportGraph()
    for module in ("memory", "memory.store", "memory.api", "memory.window", "grpc"):
        broken.add_module(module, is_squashed=module == "grpc")
    broken.add_import(importer="memory.store", imported="memory.api")
    broken.add_import(importer="memory.window", imported="grpc")
    assert upward_imports(broken, "memory") == ["memory.store → memory.api"]
    assert transports_below_the_api(broken, "memory") == ["memory.window → grpc"]
