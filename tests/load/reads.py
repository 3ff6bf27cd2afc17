"""How many reads of the API a second, and the CPU that each takes of the gateway.

Asked over plain sockets: an HTTP client in Python takes twice the CPU of the gateway for each
request, and with 16 of them on one event loop it would be the client that is measured.
"""

import asyncio
import re
import time
from dataclasses import dataclass

import httpx

from . import processes
from .tables import percentile

HEAD = ["callers", "requests/s", "p50 ms", "p95 ms", "p99 ms", "gateway's CPU ms", "failed"]
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Reads:
    """Seconds of each read by `callers` callers within `seconds`, and the gateway's CPU of all."""

    callers: int
    seconds: float
    taken_s: list[float]
    cpu_s: float
    failed: int

    def row(self) -> list[str]:
        """Its row of the table."""
        figures = [f"{percentile(self.taken_s, each) * 1000:.1f}" for each in (50, 95, 99)]
        rate = f"{len(self.taken_s) / self.seconds:.0f}"
        cpu = f"{self.cpu_s / max(len(self.taken_s), 1) * 1000:.2f}"
        return [str(self.callers), rate, *figures, cpu, str(self.failed)]


async def measure(
    client: httpx.AsyncClient, gateway_pid: int, callers: int, seconds: float
) -> Reads:
    """Read again and again, each caller one at a time on its own connection, for `seconds`."""
    taken_s: list[float] = []
    failed = 0
    asked = client.build_request("GET", "/v1/me")
    lines = [b"GET /v1/me HTTP/1.1", *(name + b": " + value for name, value in asked.headers.raw)]
    head = b"\r\n".join([*lines, b"", b""])
    before_s = processes.cpu_s(gateway_pid)
    began = time.monotonic()

    async def caller() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(asked.url.host, asked.url.port)
        while (before := time.monotonic()) < began + seconds:
            writer.write(head)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(answered)
            await reader.readexactly(int(length[1]) if length else 0)
            if answered.startswith(b"HTTP/1.1 200 "):
                taken_s.append(time.monotonic() - before)
            else:
                failed += 1
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(caller() for _ in range(callers)))
    spent_s = processes.cpu_s(gateway_pid) - before_s
    return Reads(callers, time.monotonic() - began, taken_s, spent_s, failed)
