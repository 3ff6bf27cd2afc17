"""Where a widget may stand, and who its visitors are proven to be."""

import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
import pytest_asyncio
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound
from fleetkit.vault import Vault
from gateway.auth.visitor_tokens import Visit, mint_visitor_token
from gateway.upkeep import reseal_secrets
from gateway.widgets import Widgets
from harness.desk import Company, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = "https://shop.example.com"
EVIL = "https://evil.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(door: Desk) -> Company:
    """A company whose widget may stand on its shop's pages."""
    company = await door.sign_up()
    answer = await allow(door, company, SHOP)
    assert answer.status_code == 200, answer.text
    return company


@pytest.fixture(autouse=True)
def _no_limits(door: Desk) -> None:
    door.forget_limits()


async def allow(desk: Desk, company: Company, *origins: str) -> Any:
    path = f"/v1/agents/{company.agent_id}/widget"
    return await desk.client.put(path, json={"allowed_origins": origins}, headers=company.bearer)


async def begin(desk: Desk, company: Company, visitor: str | None = None, **headers: str) -> Any:
    """What a page gets that begins a conversation; 503 is "let in": there is no service here."""
    body = {"agent_id": str(company.agent_id)} | ({"visitor": visitor} if visitor else {})
    return await desk.client.post("/v1/conversations", json=body, headers=headers)


class TestOthers:
    async def test_another_tenants_settings_can_not_be_read_or_changed(self, door, acme):
        other = await door.sign_up()
        path = f"/v1/agents/{acme.agent_id}/widget"
        body = {"allowed_origins": [EVIL]}
        for answer in (
            await door.client.get(path, headers=other.bearer),
            await door.client.put(path, json=body, headers=other.bearer),
            await door.client.post(f"{path}/identity-secret", headers=other.bearer),
        ):
            assert answer.status_code == 404
        own = await door.client.get(path, headers=acme.bearer)
        assert own.json()["allowed_origins"] == [SHOP]
        assert own.json()["has_identity_secret"] is False


class TestOrigins:
    async def test_a_page_of_an_allowed_origin_may_begin(self, door, acme):
        answer = await begin(door, acme, Origin=SHOP)
        assert answer.status_code == 503
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "access-control-allow-credentials" not in answer.headers

    async def test_our_own_page_always_may(self, door, acme):
        for headers in (
            {"Origin": door.gateway.http_url},
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "same-origin", "Origin": door.gateway.http_url},
        ):
            assert (await begin(door, acme, **headers)).status_code == 503, headers

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": EVIL},
            {"Origin": "https://shop.example.com.evil.example"},
            {"Origin": "http://shop.example.com"},
            {"Origin": "https://shop.example.com:444"},
            {"Origin": "null"},
            {"Origin": SHOP, "Sec-Fetch-Site": "cross-site", "Host": "shop.example.com"},
            {"Sec-Fetch-Site": "cross-site"},
            {},
        ],
        ids=str,
    )
    async def test_nobody_else_may_without_a_key(self, door, acme, headers):
        if headers.get("Host"):
            await allow(door, acme)  # nothing is allowed, whatever the Host header says
        answer = await begin(door, acme, **headers)
        if headers.get("Host"):
            await allow(door, acme, SHOP)
        assert (answer.status_code, answer.json()["reason"]) == (403, "ORIGIN_NOT_ALLOWED")
        assert "access-control-allow-origin" not in answer.headers

    async def test_before_an_owners_email_is_verified_no_other_page_may(self, door):
        company = await door.sign_up()
        await allow(door, company, SHOP)
        async with door.gateway.db.tenant(company.tenant_id) as conn:
            await conn.execute(
                "update user_account set verify_time = null where tenant_id = %s",
                [company.tenant_id],
            )
        assert (await begin(door, company, Origin=SHOP)).status_code == 403
        assert (await begin(door, company, Origin=door.gateway.http_url)).status_code == 503

    async def test_taking_an_origin_away_holds_for_tokens_given_before(self, door):
        company = await door.sign_up()
        await allow(door, company, SHOP)
        visit = Visit(company.tenant_id, company.agent_id, uuid4(), uuid4())
        token = mint_visitor_token(door.parts.keyring, visit)
        headers = {"Authorization": f"Bearer {token}", "Origin": SHOP}
        path = f"/v1/conversations/{visit.conversation_id}"
        assert (await door.client.get(path, headers=headers)).status_code == 503
        await allow(door, company)
        answer = await door.client.get(path, headers=headers)
        assert answer.json()["reason"] == "ORIGIN_NOT_ALLOWED"

    async def test_an_agent_that_nobody_has(self, door):
        body = {"agent_id": str(uuid4())}
        answer = await door.client.post("/v1/conversations", json=body, headers={"Origin": SHOP})
        assert answer.status_code == 404

    async def test_a_signed_in_person_who_tries_the_widget_is_a_visitor(self, door, acme):
        headers = await door.sign_in(acme)
        headers.pop("X-CSRF-Token")
        answer = await begin(door, acme, Origin=door.gateway.http_url, **headers)
        assert answer.status_code == 503

    @pytest.mark.parametrize(
        "origin",
        [
            "shop.example.com",
            "http://shop.example.com",
            "https://shop.example.com/path",
            "https://user@shop.example.com",
            "https://shop.example.com?x",
            "https://",
            "https://shop.example.com:port",
            "javascript:alert(1)",
            "*",
            "",
        ],
    )
    async def test_what_is_no_origin_is_refused(self, door, acme, origin):
        answer = await allow(door, acme, origin)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "allowed_origins"

    async def test_origins_are_kept_in_one_form(self, door):
        company = await door.sign_up()
        given = ["HTTPS://Shop.Example.com/", "https://shop.example.com", "http://localhost:3000"]
        answer = await allow(door, company, *given)
        assert answer.json()["allowed_origins"] == ["http://localhost:3000", SHOP]


class TestCors:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/conversations",
            f"/v1/conversations/{uuid4()}/messages",
            f"/v1/agents/{uuid4()}/public",
        ],
        ids=["begin", "ask", "agent"],
    )
    async def test_a_browser_may_ask_if_the_widget_may_ask(self, door, path):
        headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        answer = await door.client.options(path, headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.parametrize("path", ["/v1/me", "/v1/api-keys", "/v1/login", "/v1/agents"])
    async def test_nothing_else_is_for_other_sites(self, door, path):
        headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        answer = await door.client.options(path, headers=headers)
        assert "access-control-allow-origin" not in answer.headers
        answer = await door.client.get(path, headers={"Origin": SHOP})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"

    async def test_an_expired_token_can_be_told_from_a_broken_network(self, door):
        headers = {"Origin": SHOP, "Authorization": "Bearer x.y.z"}
        answer = await door.client.get(f"/v1/conversations/{uuid4()}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == SHOP

    async def test_a_malformed_origin_is_not_repeated(self, door):
        headers = {"Origin": "null", "Access-Control-Request-Method": "POST"}
        answer = await door.client.options("/v1/conversations", headers=headers)
        assert "access-control-allow-origin" not in answer.headers


class TestIdentitySecret:
    async def secret(self, desk: Desk, company: Company) -> str:
        path = f"/v1/agents/{company.agent_id}/widget/identity-secret"
        answer = await desk.client.post(path, headers=company.bearer)
        assert answer.status_code == 201
        return answer.json()["identity_secret"]

    def token(self, secret: str, **changes: Any) -> str:
        claims = {"sub": "customer-7", "exp": int(time.time()) + 600, **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, secret, algorithm="HS256")

    async def test_it_proves_who_a_visitor_is(self, door):
        company = await door.sign_up()
        secret = await self.secret(door, company)
        proven = await door.parts.widgets.visitor_of(
            company.tenant_id, company.agent_id, self.token(secret)
        )
        assert proven == "customer-7"

    async def test_nothing_else_does(self, door):
        company = await door.sign_up()
        secret = await self.secret(door, company)
        strange = {
            "another secret": self.token("x" * 43),
            "expired": self.token(secret, exp=int(time.time()) - 60),
            "endless": self.token(secret, exp=None),
            "nobody": self.token(secret, sub=None),
            "a blank": self.token(secret, sub=" "),
            "a novel": self.token(secret, sub="x" * 300),
            "unsigned": jwt.encode({"sub": "a", "exp": 1 << 40}, "", algorithm="none"),
            "no token": "x",
            "a huge one": "x" * 5_000,
        }
        for kind, token in strange.items():
            answer = await begin(door, company, token, Origin=door.gateway.http_url)
            assert answer.status_code == 400, kind
            assert answer.json()["errors"][0]["field"] == "visitor", kind

    async def test_a_new_secret_ends_the_old_one(self, door):
        company = await door.sign_up()
        old = await self.secret(door, company)
        await self.secret(door, company)
        with pytest.raises(InvalidArgument):
            await door.parts.widgets.visitor_of(
                company.tenant_id, company.agent_id, self.token(old)
            )

    async def test_without_a_secret_nobody_can_be_proven(self, door):
        company = await door.sign_up()
        answer = await begin(door, company, self.token("x" * 43), Origin=door.gateway.http_url)
        assert "identity secret" in answer.json()["detail"]

    async def test_it_is_kept_encrypted_and_never_shown_again(self, door):
        company = await door.sign_up()
        secret = await self.secret(door, company)
        (row,) = await door.gateway.rows(
            "select identity_secret from widget where agent_id = %s", company.agent_id
        )
        assert secret.encode() not in row["identity_secret"]
        shown = await door.client.get(
            f"/v1/agents/{company.agent_id}/widget", headers=company.bearer
        )
        assert shown.json()["has_identity_secret"] is True
        assert secret not in shown.text

    async def test_its_ciphertext_is_of_no_use_to_another_agent(self, door):
        company, other = await door.sign_up(), await door.sign_up()
        secret = await self.secret(door, company)
        (row,) = await door.gateway.rows(
            "select identity_secret, secrets_key_id from widget where agent_id = %s",
            company.agent_id,
        )
        async with door.gateway.db.tenant(other.tenant_id) as conn:
            await conn.execute(
                "update widget set identity_secret = %s, secrets_key_id = %s where agent_id = %s",
                [row["identity_secret"], row["secrets_key_id"], other.agent_id],
            )
        with pytest.raises(FailedPrecondition):
            await door.parts.widgets.visitor_of(other.tenant_id, other.agent_id, self.token(secret))

    async def test_secrets_move_to_a_new_key(self, door):
        company = await door.sign_up()
        secret = await self.secret(door, company)
        old_keys = door.parts.widgets._vault._ciphers
        vault = Vault({"new": b"n" * 32})
        vault._ciphers.update(old_keys)
        widgets = Widgets(door.gateway.db, vault)
        await reseal_secrets(door.gateway.db, widgets)
        (row,) = await door.gateway.rows(
            "select secrets_key_id from widget where agent_id = %s", company.agent_id
        )
        assert row["secrets_key_id"] == "new"
        proven = await widgets.visitor_of(company.tenant_id, company.agent_id, self.token(secret))
        assert proven == "customer-7"
        with pytest.raises(FailedPrecondition):
            await door.parts.widgets.visitor_of(
                company.tenant_id, company.agent_id, self.token(secret)
            )

    async def test_making_one_stands_in_the_audit_log(self, door):
        company = await door.sign_up()
        await self.secret(door, company)
        log = (await door.client.get("/v1/audit-log", headers=company.bearer)).json()["items"]
        assert (log[0]["action"], log[0]["target"]) == (
            "widget.secret_rotated",
            str(company.agent_id),
        )


async def test_an_agent_is_found_by_its_id_before_there_is_a_tenant(door, acme):
    assert await door.parts.widgets.tenant_of(acme.agent_id) == acme.tenant_id
    with pytest.raises(NotFound):
        await door.parts.widgets.tenant_of(uuid4())
