"""The demo tenant, made through the public HTTP API, and what it knows."""

import asyncio
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from fleetdesk_local.config import REPOSITORY
from fleetdesk_local.data_dir import DataDir, write_private
from fleetdesk_local.errors import LocalError

_COMPANY = "Fleetdesk Demo"
_TIMEOUT_S = 30.0
_INGEST_PATIENCE_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Demo:
    """The content of demo.json."""

    url: str
    email: str
    password: str
    api_key: str
    agent_id: str
    tenant_id: str


async def ensure_demo(url: str, data: DataDir, knowledge: Path | None = None) -> Demo:
    """The demo tenant of the fleet at `url`, made when missing, its knowledge up to date.

    It knows the Markdown files in the folder `knowledge`, else Fleetdesk's README files. Writes
    demo.json. LocalError when the fleet refuses.
    """
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
        demo = await _known(client, data) or await _sign_up(client, url)
        write_private(data.demo_file, json.dumps(asdict(demo), indent=2))
        client.headers["Authorization"] = f"Bearer {demo.api_key}"
        await _teach(client, data, demo, _texts(knowledge))
    return demo


def _texts(knowledge: Path | None) -> dict[str, Path]:
    """What the demo tenant is to know: path inside the folder → file."""
    root = knowledge or REPOSITORY
    found = _markdown(root) if knowledge else _readmes(root)
    return {path.relative_to(root).as_posix(): path for path in found}


def _readmes(root: Path) -> Iterator[Path]:
    """The README files of the product; those of its tests are tables that answer nobody."""
    skipped = {"node_modules", "tests"}
    for path in _markdown(root, skipped):
        if path.name == "README.md":
            yield path


def _markdown(root: Path, skipped: Set[str] = frozenset()) -> Iterator[Path]:
    """Markdown files, but in hidden folders and those `skipped`."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in skipped)
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".md"))


async def _known(client: httpx.AsyncClient, data: DataDir) -> Demo | None:
    """The tenant of demo.json, at this fleet's address, if the fleet still has it."""
    try:
        content = json.loads(data.demo_file.read_text()) | {"url": str(client.base_url)}
        demo = Demo(**content)
    except (OSError, ValueError, TypeError):
        return None
    answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {demo.api_key}"})
    return demo if answer.is_success else None


async def _sign_up(client: httpx.AsyncClient, url: str) -> Demo:
    # With a part of its own: another data folder may share the database.
    email = f"demo-{secrets.token_hex(3)}@fleetdesk.example"
    password = secrets.token_urlsafe(12)
    answer = await client.post(
        "/v1/signup", json={"email": email, "password": password, "company": _COMPANY}
    )
    made = _content(answer, "sign up the demo tenant")
    return Demo(url, email, password, made["api_key"], made["agent_id"], made["tenant_id"])


async def _teach(
    client: httpx.AsyncClient, data: DataDir, demo: Demo, wanted: Mapping[str, Path]
) -> None:
    """Upload the files that are new or have changed, and wait until they can be found."""
    record = data.path / "demo-knowledge.json"
    known = _taught(record, demo.tenant_id)
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in wanted.items()}
    changed = [name for name, digest in digests.items() if known.get(name) != digest]
    for name in changed:
        answer = await client.post(
            "/v1/knowledge/sources",
            data={"external_id": name},
            files={"file": (Path(name).name, wanted[name].read_bytes(), "text/markdown")},
        )
        _content(answer, f"take {name}")
    if changed:
        await _wait_until_found(client)
    write_private(record, json.dumps({"tenant_id": demo.tenant_id, "sha256": digests}))


def _taught(record: Path, tenant_id: str) -> dict[str, str]:
    try:
        content = json.loads(record.read_text())
        return content["sha256"] if content["tenant_id"] == tenant_id else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


async def _wait_until_found(client: httpx.AsyncClient) -> None:
    until = time.monotonic() + _INGEST_PATIENCE_S
    while time.monotonic() < until:
        answer = await client.get("/v1/knowledge/sources", params={"status": "pending"})
        if not _content(answer, "list its knowledge")["items"]:
            return
        await asyncio.sleep(_POLL_S)
    raise LocalError(
        f"The demo's knowledge was not read in {_INGEST_PATIENCE_S:.0f} s: see the logs of "
        "retrieval and llm-gateway with `make logs`."
    )


def _content(answer: httpx.Response, what: str) -> Any:
    if answer.is_success:
        return answer.json()
    raise LocalError(
        f"The fleet would not {what}: {answer.status_code} {answer.text[:300]} — see `make logs`."
    )
