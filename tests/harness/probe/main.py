"""What the probe does when asked over HTTP: answer slowly, spawn work, fail."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from fleetkit.service import Runtime

_POLL_S = 0.02


def build(rt: Runtime) -> None:
    """Serves the probe's HTTP and knows the command `hello`."""
    rt.serve_http(Probe(rt), "127.0.0.1:0", lifespan="off")
    rt.command("hello", _hello)


class Probe:
    """GET /slow?<file> begins to answer and ends once the file exists; GET /fail ends the process.

    GET /spawn?<file> answers at once and goes on until the file exists, then deletes it.
    """

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one request (ASGI)."""
        file = Path(scope["query_string"].decode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"began ", "more_body": True})
        match scope["path"]:
            case "/slow":
                await _until(file)
            case "/spawn":
                self._rt.spawn(_delete(file), "delete")
            case "/fail":
                self._rt.background(_fail(), "failing")
        await send({"type": "http.response.body", "body": b"ended"})


async def _until(file: Path) -> None:
    while not file.exists():  # noqa: ASYNC240 - a look at a local file
        await asyncio.sleep(_POLL_S)


async def _delete(file: Path) -> None:
    await _until(file)
    file.unlink()  # noqa: ASYNC240 - the same


async def _fail() -> None:
    raise RuntimeError("what the visitor wrote")


async def _hello() -> None:
    sys.stdout.write("hello\n")
