"""Writes services/README.md's call and event tables and services/asyncapi.yaml from the protos."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from fleetdesk_local import asyncapi
from fleetdesk_local.roster import PACKAGES

README = Path("services/README.md")


def files(root: Path) -> Iterator[FileDescriptor]:
    """Yield the file descriptors of all services, by path. `root` is the repository."""
    for service in PACKAGES:
        for path in sorted((root / "protos/fleetdesk" / service / "v1").glob("*.proto")):
            module = importlib.import_module(f"fleetdesk.{service}.v1.{path.stem}_pb2")
            yield module.DESCRIPTOR


def call_table(root: Path) -> str:
    """Return the Markdown table of RPCs and who may call them."""
    rows = ["| RPC | callers | background | people and keys | visitors |", "|---|---|---|---|---|"]
    for file in files(root):
        for service in file.services_by_name.values():
            rows += [_call_row(method) for method in service.methods]
    return "\n".join(rows)


def event_table(root: Path, handlers: dict[str, list[str]]) -> str:
    """Return the Markdown table of events.

    `handlers` maps a message's full name to the services that consume it.
    """
    rows = ["| event | subject | consumed by |", "|---|---|---|"]
    for file in files(root):
        if not file.name.endswith("/events.proto"):
            continue
        for message in file.message_types_by_name.values():
            consumers = ", ".join(sorted(handlers.get(message.full_name, []))) or "–"
            subject = f"{file.package}.{snake_case(message.name)}.<tenant_id>"
            rows.append(f"| `{message.name}` | `{subject}` | {consumers} |")
    return "\n".join(rows)


def consumers() -> dict[str, list[str]]:
    """Return which services handle which event, from each service's HANDLERS."""
    found: dict[str, list[str]] = {}
    for service in PACKAGES:
        try:
            handlers = importlib.import_module(f"{service}.events").HANDLERS
        except ModuleNotFoundError as error:
            if error.name != f"{service}.events":
                raise
            continue
        for full_name in handlers:
            found.setdefault(full_name, []).append(service.replace("_", "-"))
    return found


def render(root: Path) -> str:
    """Return services/README.md with both tables as they should be now."""
    text = (root / README).read_text()
    text = _between(text, "call-table", call_table(root))
    return _between(text, "event-table", event_table(root, consumers()))


def snake_case(name: str) -> str:
    """Return a message name as its subject spells it: TenantCreated → tenant_created."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _call_row(method: MethodDescriptor) -> str:
    from fleetdesk.options.v1 import access_pb2

    service = method.containing_service
    access = method.GetOptions().Extensions[access_pb2.access]
    role = access_pb2.Role.Name(access.min_role).removeprefix("ROLE_").lower()
    people = "–" if role == "unspecified" else f"{role} and above"
    package = service.full_name.split(".")[1].replace("_", "-")
    return (
        f"| `{package}.{method.name}` | {', '.join(access.callers) or '–'} "
        f"| {', '.join(access.background) or '–'} | {people} "
        f"| {'own conversation' if access.visitor else '–'} |"
    )


def _between(text: str, name: str, body: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, rest = text.split(begin)
    return f"{head}{begin}\n{body}\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Rewrite both files in the current folder; with --check only say which are stale."""
    root = Path.cwd()
    wanted = {README: render(root), asyncapi.PATH: asyncapi.render(root)}
    stale = [path for path, text in wanted.items() if not _is(root / path, text)]
    if "--check" in sys.argv[1:]:
        sys.exit(f"stale: {', '.join(map(str, stale))}: run `make docs`." if stale else 0)
    for path in stale:
        (root / path).write_text(wanted[path])


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    main()
