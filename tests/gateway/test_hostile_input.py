"""What nobody sends by accident: it gets a problem that names the field, and never a 500."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from harness.desk import Company, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")

_YEAR_0 = "0001-01-01T00:00:00+14:00"
_YEAR_10000 = "9999-12-31T23:59:59-14:00"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed(claims: dict[str, Any], secret: str) -> str:
    """A JWT as JSON has it, with what a JWT library would refuse to write."""
    head = _base64(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{head}.{_base64(json.dumps(claims).encode())}"
    return f"{signed}.{_base64(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


async def _identity_secret(desk: Desk, company: Company) -> str:
    path = f"/v1/agents/{company.agent_id}/widget/identity-secret"
    answer = await desk.client.post(path, headers=company.bearer)
    return answer.json()["identity_secret"]


class TestTimes:
    @pytest.mark.parametrize("name", ["from", "to"])
    @pytest.mark.parametrize("value", [_YEAR_0, _YEAR_10000])
    async def test_outside_the_calendar_are_refused(self, door: Desk, name: str, value: str):
        acme = await door.sign_up()
        answer = await door.client.get(
            "/v1/analytics/costs",
            params={"group_by": "day", name: value},
            headers=acme.bearer,
        )
        assert answer.status_code == 400, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [name]

    async def test_of_a_key_that_the_database_could_not_tell_again_are_refused(self, door: Desk):
        acme = await door.sign_up()
        answer = await door.client.post(
            "/v1/api-keys", json={"name": "k", "expire_time": _YEAR_10000}, headers=acme.bearer
        )
        assert answer.status_code == 400, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == ["expire_time"]
        listed = await door.client.get("/v1/api-keys", headers=acme.bearer)
        assert listed.status_code == 200, listed.text


class TestNul:
    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("/v1/knowledge/sources?page_size=2&filter=%00", "filter"),
            ("/v1/me?x=a%00b", "x"),
            ("/v1/me?a%00b=x", "query"),
            ("/v1/m%00e", "path"),
        ],
    )
    async def test_in_the_address_is_refused_by_its_place(self, door: Desk, path: str, field: str):
        acme = await door.sign_up()
        answer = await door.client.get(path, headers=acme.bearer)
        assert answer.status_code == 400, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert "leave it out" in error["message"]

    async def test_of_a_long_address_the_part_that_is_too_long_is_named(self, door: Desk):
        for path, field in (("/v1/" + "x" * 3_000, "path"), (f"/v1/me?x={'x' * 9_000}", "query")):
            answer = await door.client.get(path)
            assert answer.status_code == 414, answer.text
            assert answer.json()["errors"][0]["field"] == field


class TestVisitorsProof:
    async def test_with_half_a_character_is_refused(self, door: Desk):
        acme = await door.sign_up()
        secret = await _identity_secret(door, acme)
        proof = _signed({"sub": "a\ud800b", "exp": int(time.time()) + 60}, secret)
        answer = await door.client.post(
            "/v1/conversations",
            json={"agent_id": str(acme.agent_id), "visitor": proof},
            headers=acme.bearer,
        )
        assert answer.status_code == 400, answer.text
        assert answer.json()["reason"] == "VISITOR_TOKEN_INVALID"


class TestBodies:
    async def test_of_text_are_no_truth_values_and_no_numbers(self, door: Desk):
        acme = await door.sign_up()
        for field, value in (("prompt_caching", "false"), ("max_tokens", "3")):
            answer = await door.client.post(
                "/v1/agents",
                json={"config": {"name": "Kim", field: value}},
                headers=acme.bearer,
            )
            assert answer.status_code == 400, answer.text
            assert [error["field"] for error in answer.json()["errors"]] == [f"config.{field}"]

    async def test_may_say_a_whole_number_as_json_does(self, door: Desk):
        acme = await door.sign_up()
        body = b'{"config": {"name": "Kim", "max_tokens": 3.0}}'
        headers = {**acme.bearer, "Content-Type": "application/json"}
        answer = await door.client.post("/v1/agents", content=body, headers=headers)
        assert answer.status_code == 503, answer.text


class TestOptions:
    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/v1/agents", "GET, POST, OPTIONS"),
            ("/v1/knowledge/sources/01a20569-e055-7202-9f1d-eafee5cef37f", "GET, DELETE, OPTIONS"),
        ],
    )
    async def test_names_every_method_of_the_address(self, door: Desk, path: str, methods: str):
        answer = await door.client.options(path)
        assert answer.status_code == 204
        assert answer.headers["allow"] == methods


class TestMissingParameters:
    async def test_are_named(self, door: Desk):
        acme = await door.sign_up()
        answer = await door.client.get("/v1/analytics/costs", headers=acme.bearer)
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["group_by"]


_FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"'


async def _upload(desk: Desk, *parts: tuple[bytes, bytes]) -> dict[str, Any]:
    """Sends a form written by hand; the problem that it gets."""
    acme = await desk.sign_up()
    body = b"".join(b"--XX\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    answer = await desk.client.post(
        "/v1/knowledge/sources",
        content=body + b"--XX--\r\n",
        headers={**acme.bearer, "Content-Type": "multipart/form-data; boundary=XX"},
    )
    assert answer.status_code == 400, answer.text
    return answer.json()


class TestForms:
    @pytest.mark.parametrize("charset", [b"unicode_escape", b"punycode", b"undefined", b"hex"])
    async def test_are_utf_8_whatever_a_part_says(self, door: Desk, charset: bytes):
        head = b'Content-Disposition: form-data; name="title"\r\nContent-Type: text/plain; charset='
        problem = await _upload(door, (head + charset, b"\xff"), (_FILE, b"text"))
        assert [error["field"] for error in problem["errors"]] == ["title"]

    async def test_do_not_answer_with_the_parsers_own_words(self, door: Desk):
        head = b'Content-Disposition: form-data; name="\xff"'
        problem = await _upload(door, (head, b"x"), (_FILE, b"text"))
        assert problem["reason"] == "FORM_INVALID"
        assert "Error" not in problem["detail"]

    @pytest.mark.parametrize("head", [_FILE + b"\r\nX: " + b"a" * 20_000, b"\r\nX: a" * 100])
    async def test_with_too_long_a_part_head_are_not_called_large_files(
        self, door: Desk, head: bytes
    ):
        problem = await _upload(door, (head, b"text"))
        assert problem["reason"] == "FORM_INVALID"

    async def test_of_signing_up_have_the_limits_that_json_has(self, door: Desk):
        form = {"company": "a" * 121, "email": "a@acme.example", "password": "correct horse"}
        answer = await door.client.post("/signup", data=form)
        assert answer.status_code == 400
        assert "120" in answer.text


class TestCookies:
    @pytest.mark.parametrize("value", ["Mw==", "W10=", "%%%", _base64(b"[" * 5_000)])
    async def test_of_a_notice_that_we_did_not_write_say_nothing(self, door: Desk, value: str):
        acme = await door.sign_up()
        signed_in = await door.sign_in(acme)
        cookie = f"{signed_in['Cookie']}; fleetdesk_notice={value}"
        answer = await door.client.get("/settings/api-keys", headers={"Cookie": cookie})
        assert answer.status_code == 200, answer.text
