"""Whether a service serves: its port file is there and its health check says so."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fleetdesk_local.errors import LocalError

_POLL_S = 0.05
_CHECK_AGAIN_S = 0.3
_CHECK_TIMEOUT_S = 2.0


async def wait_for_service(
    service: str, port_file: Path, log_file: Path, patience_s: float
) -> None:
    """Wait until the service has written `port_file` and reports itself healthy.

    LocalError when that takes longer than `patience_s`.
    """
    until = time.monotonic() + patience_s
    async with httpx.AsyncClient(trust_env=False, timeout=_CHECK_TIMEOUT_S) as client:
        while time.monotonic() < until:
            ports = _read_ports(port_file)
            if ports and await _is_healthy(ports, client):
                return
            # A check costs as much as a call; looking for a file costs nothing.
            await asyncio.sleep(_CHECK_AGAIN_S if ports else _POLL_S)
    raise LocalError(f"{service} did not get ready in {patience_s:.0f} s: see {log_file}.")


def _read_ports(port_file: Path) -> dict[str, int]:
    try:
        return json.loads(port_file.read_text())
    except (OSError, ValueError):
        return {}


async def _is_healthy(ports: dict[str, int], client: httpx.AsyncClient) -> bool:
    if "metrics" in ports and not await _answers_ready(ports["metrics"], client):
        return False
    return "grpc" not in ports or await _serves_grpc(ports["grpc"])


async def _answers_ready(port: int, client: httpx.AsyncClient) -> bool:
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz")
    except httpx.HTTPError:
        return False
    return answer.is_success


async def _serves_grpc(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        # The generated stub has no types.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(), timeout=_CHECK_TIMEOUT_S, wait_for_ready=False
            )
        except grpc.aio.AioRpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING
