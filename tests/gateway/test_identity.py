"""Signing up, in and out."""

from typing import Any
from uuid import uuid4

import pytest
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from gateway.auth.tokens import sha256
from gateway.config import GatewaySettings
from gateway.cookies import session_cookie
from gateway.rate_limits import Limit, TooManyRequests
from harness.desk import PASSWORD, Desk
from pydantic import ValidationError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _no_limits(door: Desk) -> None:
    door.forget_limits()


def _email() -> str:
    return f"{uuid4().hex[:10]}@acme.example"


def use_up(desk: Desk, limit: Limit, key: str) -> None:
    """Asks as often as the limit allows."""
    with pytest.raises(TooManyRequests):
        for _ in range(limit.count + 1):
            desk.parts.limiter.hit(limit, key)


async def sign_up(desk: Desk, **changes: Any) -> Any:
    body = {"email": _email(), "password": PASSWORD, "company": "Acme", **changes}
    return await desk.client.post("/v1/signup", json=body)


async def sign_in(desk: Desk, email: str, password: str = PASSWORD, **headers: str) -> Any:
    body = {"email": email, "password": password}
    answer = await desk.client.post("/v1/login", json=body, headers=headers)
    desk.client.cookies.clear()
    return answer


class TestSignUp:
    async def test_it_gives_a_tenant_an_agent_and_a_key_that_works(self, door):
        made = (await sign_up(door)).json()
        assert set(made) == {"tenant_id", "user_id", "agent_id", "api_key"}
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        me = (await door.client.get("/v1/me", headers=headers)).json()
        assert me["kind"] == "api_key"
        assert me["tenant_id"] == made["tenant_id"]
        assert (me["role"], me["scopes"], me["company"]) == ("admin", ["*"], "Acme")

    async def test_it_works_while_the_services_that_finish_it_are_away(self, door):
        # `door` has none of them: TenantCreated makes plan and agent when they are back.
        made = (await sign_up(door)).json()
        events = await door.gateway.events(TenantCreated)
        event = next(each for each in events if each["tenantId"] == made["tenant_id"])
        assert event["agentId"] == made["agent_id"]
        assert event["planId"] == "free"
        assert event["revision"] == "1"

    async def test_an_email_has_one_account_however_it_is_written(self, door):
        email = _email()
        assert (await sign_up(door, email=email)).status_code == 201
        again = await sign_up(door, email=f" {email.upper()} ")
        assert again.status_code == 409
        assert again.json()["reason"] == "EMAIL_TAKEN"
        assert again.json()["errors"][0]["field"] == "email"

    async def test_a_refused_sign_up_leaves_nothing_behind(self, door):
        email = _email()
        await sign_up(door, email=email)
        counted = "select count(*) from tenant"
        (before,) = await door.gateway.rows(counted)
        assert (await sign_up(door, email=email)).status_code == 409
        assert await door.gateway.rows(counted) == [before]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"email": "nobody"}, "email"),
            ({"email": "a@b"}, "email"),
            ({"email": "a b@c.example"}, "email"),
            ({"email": "a\x00@c.example"}, "email"),
            ({"password": "too short"}, "password"),
            ({"password": "x" * 300}, "password"),
            ({"password": "aaaaaaaaaaaa"}, "password"),
            ({"email": "me@acme.example", "password": "me@acme.example"}, "password"),
            ({"email": "longenough@acme.example", "password": "LongEnough"}, "password"),
            ({"company": ""}, "company"),
            ({"company": "   "}, "company"),
            ({"company": "A\x00B"}, "company"),
            ({"company": "x" * 200}, "company"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_what_is_wrong_is_named(self, door, changes, field):
        answer = await sign_up(door, **changes)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field

    async def test_no_secret_is_kept_in_the_clear(self, door):
        made = (await sign_up(door)).json()
        (user,) = await door.gateway.rows(
            "select password_hash from user_account where user_id = %s", made["user_id"]
        )
        assert user["password_hash"].startswith("$argon2id$")
        (key,) = await door.gateway.rows(
            "select key_sha256, prefix from api_key where tenant_id = %s", made["tenant_id"]
        )
        assert key["key_sha256"] == sha256(made["api_key"])
        assert made["api_key"].startswith(key["prefix"])
        assert len(key["prefix"]) < 12

    async def test_the_index_of_credentials_holds_hashes_and_ids_only(self, door):
        email = _email()
        await sign_up(door, email=email)
        rows = await door.gateway.rows("select * from credential_index")
        assert {frozenset(row) for row in rows} == {
            frozenset({"kind", "sha256", "tenant_id", "subject_id"})
        }
        assert sha256(email) in [row["sha256"] for row in rows]

    async def test_it_stands_in_the_audit_log(self, door):
        made = (await sign_up(door)).json()
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        log = (await door.client.get("/v1/audit-log", headers=headers)).json()["items"]
        assert [(line["action"], line["actor"]) for line in log] == [
            ("tenant.signed_up", made["user_id"])
        ]

    async def test_too_many_from_one_address_wait(self, door):
        first = await sign_up(door, email="nobody")
        assert first.headers["ratelimit-policy"] == '"signup";q=30;w=60'
        use_up(door, Limit("signup", 30, 60), "127.0.0.1")
        answer = await sign_up(door, email="nobody")
        assert answer.status_code == 429
        assert answer.json()["reason"] == "RATE_LIMITED"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["ratelimit"].startswith('"signup";r=0;t=')


class TestSignIn:
    async def test_it_begins_a_session_that_scripts_can_not_read(self, door):
        acme = await door.sign_up()
        answer = await sign_in(door, acme.email)
        assert answer.status_code == 200
        assert answer.json()["user_id"] == str(acme.user_id)
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("fleetdesk_session=")
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(attributes)
        me = await door.client.get("/v1/me", headers={"Cookie": name})
        assert me.json()["email"] == acme.email
        assert me.json()["role"] == "owner"
        assert me.json()["csrf_token"] == answer.json()["csrf_token"]

    async def test_a_wrong_password_and_an_unknown_email_are_the_same_to_the_asker(self, door):
        acme = await door.sign_up()
        wrong = await sign_in(door, acme.email, "not the password")
        unknown = await sign_in(door, _email(), "not the password")
        malformed = await sign_in(door, "nobody", "not the password")
        told = [{**each.json(), "trace_id": ""} for each in (wrong, unknown, malformed)]
        assert told[0] == told[1] == told[2]
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers

    async def test_an_unknown_email_costs_a_hash_all_the_same(self, door):
        passwords = door.parts.passwords
        assert not await passwords.verify(None, "nobody has this password")

    async def test_the_email_may_be_written_in_another_case(self, door):
        acme = await door.sign_up()
        assert (await sign_in(door, f" {acme.email.upper()} ")).status_code == 200

    async def test_each_sign_in_has_a_token_of_its_own_and_ends_the_browsers_last_one(self, door):
        acme = await door.sign_up()
        first = (await sign_in(door, acme.email)).headers["set-cookie"].partition(";")[0]
        second = await sign_in(door, acme.email, Cookie=first)
        assert second.headers["set-cookie"].partition(";")[0] != first
        assert (await door.client.get("/v1/me", headers={"Cookie": first})).status_code == 401

    async def test_one_persons_password_can_not_be_tried_from_many_addresses(self, door):
        acme = await door.sign_up()
        use_up(door, Limit("login-email", 10, 300), sha256(acme.email).hex())
        assert (await sign_in(door, acme.email)).status_code == 429
        assert (await sign_in(door, _email())).status_code == 401

    async def test_success_and_failure_stand_in_the_audit_log(self, door):
        acme = await door.sign_up()
        await sign_in(door, acme.email, "wrong password")
        await sign_in(door, acme.email)
        log = (await door.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
        assert [line["action"] for line in log[:2]] == ["user.signed_in", "user.sign_in_failed"]
        assert log[0]["client_ip"] == "127.0.0.1"


class TestSessions:
    async def test_signing_out_ends_the_session_at_once(self, door):
        acme = await door.sign_up()
        headers = await door.sign_in(acme)
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 200
        out = await door.client.post("/v1/logout", headers=headers)
        assert out.status_code == 204
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 401
        assert not await door.gateway.rows(
            "select from session where tenant_id = %s", acme.tenant_id
        )

    @pytest.mark.parametrize(
        "change",
        [
            "update session set expire_time = now() - interval '1 s' where tenant_id = %s",
            "update session set last_used_time = now() - interval '13 h' where tenant_id = %s",
        ],
        ids=["absolute", "idle"],
    )
    async def test_it_ends_by_itself(self, door, change):
        acme = await door.sign_up()
        headers = await door.sign_in(acme)
        async with door.gateway.db.tenant(acme.tenant_id) as conn:
            await conn.execute(change, [acme.tenant_id])
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 401

    async def test_use_keeps_it_alive(self, door):
        acme = await door.sign_up()
        headers = await door.sign_in(acme)
        async with door.gateway.db.tenant(acme.tenant_id) as conn:
            await conn.execute(
                "update session set last_used_time = now() - interval '11 h' where tenant_id = %s",
                [acme.tenant_id],
            )
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 200
        (row,) = await door.gateway.rows(
            "select last_used_time > now() - interval '1 min' as fresh from session"
            " where tenant_id = %s",
            acme.tenant_id,
        )
        assert row["fresh"]

    async def test_a_form_of_our_page_may_carry_the_csrf_token_as_a_field(self, door):
        acme = await door.sign_up()
        headers = await door.sign_in(acme)
        token = headers.pop("X-CSRF-Token")
        # No page's route here yet takes a form: the admission lets it in, the route wants JSON.
        answer = await door.client.post("/v1/logout", data={"csrf_token": token}, headers=headers)
        assert answer.status_code == 204

    async def test_a_wrong_token_in_a_form_is_refused(self, door):
        acme = await door.sign_up()
        headers = await door.sign_in(acme)
        headers.pop("X-CSRF-Token")
        answer = await door.client.post(
            "/v1/logout", data={"csrf_token": "x" * 64}, headers=headers
        )
        assert answer.json()["reason"] == "CSRF_TOKEN_WRONG"

    async def test_ended_sessions_are_tidied_away(self, door):
        from gateway.upkeep import tidy

        acme = await door.sign_up()
        await door.sign_in(acme)
        async with door.gateway.db.tenant(acme.tenant_id) as conn:
            await conn.execute(
                "update session set expire_time = now() where tenant_id = %s", [acme.tenant_id]
            )
        await tidy(door.gateway.db)
        assert not await door.gateway.rows(
            "select from session where tenant_id = %s", acme.tenant_id
        )
        assert not await door.gateway.rows(
            "select from credential_index where kind = 'session' and tenant_id = %s",
            acme.tenant_id,
        )


class TestSettings:
    def settings(self, door: Desk, **changes: Any) -> GatewaySettings:
        known = door.gateway.rt.settings.model_dump(exclude={"clock_file"})
        return GatewaySettings(**{**known, **changes})

    async def test_in_production_cookies_are_for_https_only(self, door):
        settings = self.settings(
            door,
            environment="production",
            public_url="https://desk.example.com/",
            secrets_key=f"k1:{'A' * 43}=",
        )
        cookie = session_cookie(settings, "token")
        assert cookie.secure
        assert cookie.key.startswith("__Host-")
        assert settings.public_url == "https://desk.example.com"
        assert not settings.verifies_at_once

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"auto_verify": True}, "auto_verify"),
            ({"public_url": None}, "public_url"),
            ({"public_url": "http://desk.example.com"}, "public_url"),
            ({"secrets_key": None}, "secrets_key"),
            ({"public_url": "desk"}, "origin"),
            ({"smtp_url": "mail.example.com:587"}, "smtp://"),
            ({"smtp_url": "smtp://mail.example.com:x"}, "smtp_url"),
            ({"mail_from": "a@example.com\nBcc: b@example.com"}, "address"),
        ],
        ids=str,
    )
    async def test_production_refuses_what_is_for_laptops(self, door, changes, problem):
        known = {
            "environment": "production",
            "public_url": "https://desk.example.com",
            "secrets_key": f"k1:{'A' * 43}=",
        }
        with pytest.raises(ValidationError, match=problem):
            self.settings(door, **{**known, **changes})
