"""What is wrong with a request is said in a problem document, whatever it is."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from harness.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")

_JSON = {"Content-Type": "application/json"}


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].startswith("urn:fleetdesk:problem:")
    assert problem["title"]
    assert problem["status"] == status
    assert problem["detail"]
    assert len(problem["trace_id"]) == 32
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
    return problem


class TestJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"nonsense",
            b'{"email": "a@b.example", "password": "x"',
            b'{"email": "\xff", "password": "x"}',
            b'{"email": "\\ud800", "password": "x"}',
            b"[" * 100_000,
            b'{"email": ' + b"[" * 100_000,
            b"\x00",
        ],
        ids=["open", "word", "cut", "not UTF-8", "half a pair", "deep", "deep in a field", "NUL"],
    )
    async def test_what_is_not_json_is_malformed(self, door: Desk, body: bytes):
        door.forget_limits()
        answer = await door.client.post("/v1/login", content=body, headers=_JSON)
        assert problem_of(answer, 400)["reason"] == "MALFORMED_JSON"

    async def test_an_empty_body_is_missing(self, door: Desk):
        door.forget_limits()
        answer = await door.client.post("/v1/login", headers=_JSON)
        assert problem_of(answer, 400)["reason"] == "MALFORMED_JSON"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"email": 3, "password": "x"}, "email"),
            ({"password": "x"}, "email"),
            ({"email": "x", "password": "y", "admin": True}, "admin"),
            ({"email": "x", "password": "y" * 2000}, "password"),
            ([], "body"),
        ],
        ids=["type", "missing", "unknown", "long", "array"],
    )
    async def test_the_field_at_fault_is_named(self, door: Desk, body: Any, field: str):
        door.forget_limits()
        answer = await door.client.post("/v1/login", json=body)
        problem = problem_of(answer, 400)
        assert [error["field"] for error in problem["errors"]] == [field]
        assert field in problem["detail"]

    async def test_a_field_inside_a_field_is_named_by_its_path(self, door: Desk):
        acme = await door.sign_up()
        body = {"config": {"name": "Ada", "max_tokens": 9_999}}
        answer = await door.client.post("/v1/agents", json=body, headers=acme.bearer)
        assert problem_of(answer, 400)["errors"][0]["field"] == "config.max_tokens"

    @pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data"])
    async def test_another_content_type_is_refused(self, door: Desk, kind: str):
        door.forget_limits()
        headers = {"Content-Type": kind} if kind else {}
        answer = await door.client.post("/v1/login", content=b"{}", headers=headers)
        assert "application/json" in problem_of(answer, 415)["detail"]


class TestRoutes:
    async def test_an_address_without_a_route(self, door: Desk):
        assert problem_of(await door.client.get("/v1/nothing"), 404)

    async def test_a_method_that_a_route_has_not(self, door: Desk):
        answer = await door.client.delete("/v1/me")
        assert "GET" in problem_of(answer, 405)["detail"]
        assert answer.headers["allow"] == "GET"

    async def test_an_id_that_is_none(self, door: Desk):
        acme = await door.sign_up()
        answer = await door.client.get("/v1/conversations/not-an-id", headers=acme.bearer)
        assert problem_of(answer, 404)

    async def test_a_parameter_that_is_wrong(self, door: Desk):
        acme = await door.sign_up()
        for query, field in (
            ("group_by=weather", "group_by"),
            ("", "group_by"),
            ("group_by=day&from=yesterday", "from"),
        ):
            path = f"/v1/analytics/costs?{query}"
            answer = await door.client.get(path, headers=acme.bearer)
            assert problem_of(answer, 400)["errors"][0]["field"] == field, query

    async def test_a_page_size_out_of_bounds(self, door: Desk):
        acme = await door.sign_up()
        for size in ("0", "501", "-1", "many"):
            path = f"/v1/api-keys?page_size={size}"
            answer = await door.client.get(path, headers=acme.bearer)
            assert problem_of(answer, 400)["errors"][0]["field"] == "page_size", size

    async def test_a_page_token_that_no_page_ended_with(self, door: Desk):
        acme = await door.sign_up()
        answer = await door.client.get("/v1/api-keys?page_token=x", headers=acme.bearer)
        assert problem_of(answer, 400)["errors"][0]["field"] == "page_token"


class TestSizes:
    async def test_json_that_is_too_large(self, door: Desk):
        door.forget_limits()
        body = b'{"email": "' + b"x" * 300_000
        answer = await door.client.post("/v1/login", content=body, headers=_JSON)
        assert "262,144" in problem_of(answer, 413)["detail"]

    async def test_json_that_is_too_large_and_does_not_say_so(self, door: Desk):
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        door.forget_limits()
        answer = await door.client.post("/v1/login", content=endless(), headers=_JSON)
        problem_of(answer, 413)

    async def test_a_question_that_is_too_long(self, door: Desk):
        acme = await door.sign_up()
        path = f"/v1/conversations/{uuid4()}/messages"
        body = {"text": "x" * 100_000}
        answer = await door.client.post(path, json=body, headers=acme.bearer)
        problem = problem_of(answer, 400)
        assert problem["errors"][0]["field"] == "text"
        assert "16,000" in problem["detail"]

    async def test_a_huge_upload_is_refused_before_it_is_read(self, door: Desk):
        acme = await door.sign_up()
        head = (
            "POST /v1/knowledge/sources HTTP/1.1\r\nHost: desk\r\n"
            f"Authorization: {acme.bearer['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: {100 * 1024 * 1024}\r\n\r\n"
        )
        status, headers, body = await _spoken(door, head.encode() + b"--x\r\n")
        assert status == 413
        assert headers["connection"] == "close"
        assert json.loads(body)["reason"] == "BODY_TOO_LARGE"

    async def test_a_huge_upload_by_an_ordinary_client_is_refused(self, door: Desk):
        acme = await door.sign_up()
        files = {"file": ("big.txt", b"x" * (60 * 1024 * 1024))}
        answer = await door.client.post("/v1/knowledge/sources", files=files, headers=acme.bearer)
        problem_of(answer, 413)

    async def test_a_head_that_is_too_large(self, door: Desk):
        answer = await door.client.get("/v1/me", headers={"X-Much": "x" * 20_000})
        problem_of(answer, 431)

    async def test_a_header_that_does_not_end(self, door: Desk):
        head = b"GET /v1/me HTTP/1.1\r\nHost: desk\r\nX-Much: " + b"x" * 100_000
        status, _, body = await _spoken(door, head)
        assert status == 431
        assert json.loads(body)["reason"] == "HEADERS_TOO_LARGE"

    async def test_too_many_headers(self, door: Desk):
        headers = {f"X-{number}": "x" for number in range(120)}
        problem_of(await door.client.get("/v1/me", headers=headers), 431)

    async def test_an_address_that_is_too_long(self, door: Desk):
        problem_of(await door.client.get("/v1/me?" + "x" * 9_000), 414)
        problem_of(await door.client.get("/v1/" + "x" * 3_000), 414)

    async def test_what_is_not_http(self, door: Desk):
        status, _, body = await _spoken(door, b"\x16\x03\x01 hello\r\n\r\n")
        assert status == 400
        assert json.loads(body)["status"] == 400


class TestServices:
    async def test_a_service_that_is_away_is_said_to_be_so(self, door: Desk):
        acme = await door.sign_up()
        answer = await door.client.get("/v1/agents", headers=acme.bearer)
        problem = problem_of(answer, 503)
        assert "conversation" in problem["detail"]
        assert int(answer.headers["retry-after"]) >= 1

    async def test_what_nobody_foresaw_tells_nothing_but_a_trace(self, door: Desk):
        acme = await door.sign_up()
        owner = door.gateway.database.owner_url
        async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as conn:
            await conn.execute("alter table audit_log rename to audit_log_away")
            answer = await door.client.get("/v1/audit-log", headers=acme.bearer)
            await conn.execute("alter table audit_log_away rename to audit_log")
        problem = problem_of(answer, 500)
        assert problem["reason"] == "INTERNAL"
        assert problem["trace_id"] in problem["detail"]
        assert "audit" not in answer.text

    async def test_the_service_stays_up(self, door: Desk):
        assert (await door.client.get("/healthz")).status_code == 200


class TestKnowledgeInput:
    @pytest.mark.parametrize("kind", ["url", "sitemap", "crawl"])
    async def test_a_website_has_no_text(self, door: Desk, kind: str):
        acme = await door.sign_up()
        body = {"type": kind, "url": "https://docs.example", "text": "x"}
        answer = await door.client.post("/v1/knowledge/sources", json=body, headers=acme.bearer)
        assert problem_of(answer, 400)["errors"][0]["field"] == "text"

    @pytest.mark.parametrize("kind", ["file", "dream"])
    async def test_other_types_are_refused(self, door: Desk, kind: str):
        acme = await door.sign_up()
        body = {"type": kind, "url": "https://docs.example"}
        answer = await door.client.post("/v1/knowledge/sources", json=body, headers=acme.bearer)
        problem = problem_of(answer, 400)
        assert problem["errors"][0]["field"] == "type"
        assert "text" in problem["detail"] or "multipart" in problem["detail"]

    @pytest.mark.parametrize("text", ["", "  \n", "a\x00b"], ids=["none", "blank", "NUL"])
    async def test_a_text_with_nothing_to_read_is_refused(self, door: Desk, text: str):
        acme = await door.sign_up()
        body = {"type": "text", "text": text}
        answer = await door.client.post("/v1/knowledge/sources", json=body, headers=acme.bearer)
        assert problem_of(answer, 400)["errors"][0]["field"] == "text"

    async def test_a_batch_names_which_of_its_texts_is_wrong(self, door: Desk):
        acme = await door.sign_up()
        body = {"sources": [{"type": "text", "text": "fine"}, {"type": "dream"}]}
        answer = await door.client.post(
            "/v1/knowledge/sources:batch", json=body, headers=acme.bearer
        )
        assert problem_of(answer, 400)["errors"][0]["field"] == "sources[1].type"

    async def test_a_malformed_text_is_refused_as_everywhere(self, door: Desk):
        acme = await door.sign_up()
        for body in (b"{", b"\xff", b""):
            answer = await door.client.post(
                "/v1/knowledge/sources", content=body, headers={**acme.bearer, **_JSON}
            )
            assert problem_of(answer, 400)["reason"] == "MALFORMED_JSON", body[:5]


async def _spoken(door: Desk, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what the gateway answers to raw bytes."""
    url = httpx.URL(door.gateway.http_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(data)
    await writer.drain()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body
