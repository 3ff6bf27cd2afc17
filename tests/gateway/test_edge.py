"""What every answer carries, and what never gets as far as a route."""

import asyncio

import httpx
import pytest
from gateway.edge import Edge
from gateway.http_protocol import GuardedProtocol
from harness.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


class TestHeaders:
    @pytest.mark.parametrize("path", ["/healthz", "/v1/me", "/v1/nothing", "/v1/me?" + "x" * 9000])
    async def test_security_headers_are_on_every_answer(self, door: Desk, path: str):
        headers = (await door.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy

    async def test_the_server_does_not_name_itself(self, door: Desk):
        headers = (await door.client.get("/healthz")).headers
        assert "server" not in headers

    async def test_the_host_header_is_not_repeated(self, door: Desk):
        headers = {"Host": "evil.example"}
        for path in ("/v1/me", "/v1/nothing", "/login", "/"):
            answer = await door.client.get(path, headers=headers)
            assert "evil.example" not in answer.text + str(answer.headers), path

    async def test_a_malformed_host_is_refused(self, door: Desk):
        answer = await door.client.get("/healthz", headers={"Host": "a b"})
        assert answer.status_code == 400


class TestProduction:
    async def test_only_the_public_host_is_answered(self, door: Desk):
        settings = door.parts.settings.model_copy(
            update={"environment": "production", "public_url": "https://desk.example.com"}
        )
        edge = Edge(_app, settings)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(edge)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="https://evil.example") as them:
            assert (await them.get("/v1/me")).status_code == 421
        async with httpx.AsyncClient(
            transport=transport, base_url="https://desk.example.com"
        ) as us:
            answer = await us.get("/v1/me")
        assert answer.status_code == 200
        assert "max-age" in answer.headers["strict-transport-security"]


async def _app(scope: dict, receive: object, send: object) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"{}"})  # type: ignore[operator]


class TestConnections:
    async def test_a_head_that_does_not_come_is_not_waited_for(self, door: Desk, monkeypatch):
        monkeypatch.setattr("gateway.http_protocol._HEAD_S", 0.05)
        url = httpx.URL(door.gateway.http_url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")

    async def test_several_requests_share_a_connection(self, door: Desk):
        url = httpx.URL(door.gateway.http_url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(b'{"status":"ok"}'))
            assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()

    async def test_it_is_the_protocol_that_is_served(self, door: Desk):
        assert door.gateway.rt._http[0]._options["http"] is GuardedProtocol
