"""Who may use which route: read from the routes themselves, and tried on each of them."""

import time
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleetkit.context import Identity
from fleetkit.ids import new_id
from fleetkit.rpc.identity import mint_identity
from gateway.access import ANY_SCOPE, Access, access_of
from gateway.admission import Admission
from gateway.app import create_app
from gateway.auth.principal import SCOPES, Role
from gateway.auth.visitor_tokens import Visit, mint_visitor_token
from harness.desk import Company, Desk
from harness.routes import Route, api_routes
from litestar import get

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = list(api_routes())
_REFUSED = (401, 403)


def routes(keep: Any) -> Any:
    """The test once for each route that `keep` keeps."""
    return pytest.mark.parametrize("route", [each for each in ROUTES if keep(each)], ids=str)


async def ask(desk: Desk, route: Route, headers: dict[str, str], **options: Any) -> Any:
    """Status and reason of a request without a body."""
    desk.forget_limits()
    url = route.url(**options)
    async with desk.client.stream(route.method, url, headers=headers) as answer:
        if answer.is_success:
            return answer.status_code, None
        await answer.aread()
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert problem["trace_id"]
    return problem["status"], problem["reason"]


class People:
    """Those who ask, each made once."""

    def __init__(self, desk: Desk, company: Company) -> None:
        self._desk = desk
        self.company = company
        self._made: dict[str, dict[str, str]] = {}

    async def key(self, role: Role, scope: str) -> dict[str, str]:
        """Headers with an API key."""
        name = f"{role.label} {scope}"
        if name not in self._made:
            self._made[name] = await self._desk.key(self.company, role.label, scope)
        return self._made[name]

    async def person(self, role: Role) -> dict[str, str]:
        """Headers with a session."""
        if role.label not in self._made:
            self._made[role.label] = await self._desk.sign_in_new(self.company, role)
        return dict(self._made[role.label])

    def visit(self) -> Visit:
        """A conversation of this company."""
        return Visit(self.company.tenant_id, self.company.agent_id, new_id(), new_id())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(door: Desk) -> People:
    return People(door, await door.sign_up())


class TestDeclarations:
    async def test_every_route_that_is_served_declares_who_may_use_it(self, door):
        for route in create_app(door.parts).routes:
            for handler in getattr(route, "route_handlers", [route]):
                only_options = getattr(handler, "http_methods", None) == {"OPTIONS"}
                assert only_options or access_of(handler), f"{route.path} lets nobody in"

    async def test_a_route_without_a_declaration_lets_nobody_in(self, door):
        @get("/open")
        async def forgotten() -> str:
            return "come in"

        scope: Any = {"type": "http", "method": "GET", "route_handler": forgotten, "headers": []}
        with pytest.raises(RuntimeError, match="declares no access"):
            await Admission(_let_in, door.parts)(scope, _let_in, _let_in)

    async def test_a_scope_that_does_not_exist_is_refused_where_it_is_declared(self):
        with pytest.raises(ValueError, match="no scope"):
            Access(role=Role.VIEWER, scope="knowledge:eat")

    async def test_a_route_for_nobody_is_refused_where_it_is_declared(self):
        with pytest.raises(ValueError, match="nobody"):
            Access()

    async def test_every_scope_is_of_some_route(self):
        assert {each.access.scope for each in ROUTES} - {None, ANY_SCOPE} == set(SCOPES)

    async def test_what_writes_needs_more_than_a_viewer(self):
        only_reads = {"POST /v1/knowledge/search", "POST /v1/logout"}
        for each in ROUTES:
            if each.unsafe and each.access.role and str(each) not in only_reads:
                assert each.access.role > Role.VIEWER, each

    async def test_what_other_sites_may_ask_is_for_visitors_or_public(self):
        for each in ROUTES:
            if each.access.cross_origin:
                assert each.access.visitor or each.access.anonymous, each


async def _let_in(*_: Any) -> Any:
    raise AssertionError("it was let in")


class TestNobody:
    @routes(lambda route: not route.access.anonymous)
    async def test_without_a_credential_nothing_is_told(self, door, route):
        assert await ask(door, route, {}) == (401, "CREDENTIAL_REQUIRED")

    @routes(lambda route: not route.access.anonymous)
    async def test_a_session_that_nobody_began_is_none(self, door, route):
        cookie = {"Cookie": "fleetdesk_session=" + "x" * 43}
        assert await ask(door, route, cookie) == (401, "CREDENTIAL_REQUIRED")

    @routes(lambda _: True)
    async def test_a_key_that_nobody_was_given_is_refused(self, door, route):
        forged = {"Authorization": "Bearer fd_" + "x" * 43}
        assert await ask(door, route, forged) == (401, "API_KEY_UNKNOWN")

    @routes(lambda _: True)
    async def test_a_malformed_credential_is_refused_also_where_none_is_needed(self, door, route):
        for value in ("Basic dXNlcjpwYXNz", "Bearer", "Bearer x.y.z", "x"):
            answer = await ask(door, route, {"Authorization": value})
            assert answer == (401, "INVALID_TOKEN"), value

    async def test_guessing_keys_is_slowed_down(self, door):
        door.forget_limits()
        statuses = []
        # More than the limit: tries are forgiven with time, and a busy machine takes its time.
        while len(statuses) < 600 and 429 not in statuses:
            headers = {"Authorization": f"Bearer fd_{len(statuses):043}"}
            statuses.append((await door.client.get("/v1/me", headers=headers)).status_code)
        door.forget_limits()
        assert statuses[:60] == [401] * 60
        assert statuses[-1] == 429


class TestVisitors:
    @routes(lambda _: True)
    async def test_forged_expired_and_borrowed_tokens_are_refused(self, door, people, route):
        visit, ring = people.visit(), door.parts.keyring
        good = mint_visitor_token(ring, visit)
        claims = jwt.decode(good, options={"verify_signature": False})
        person = Identity(visit.tenant_id, str(new_id()), "user", frozenset({"owner"}))
        past = {"iat": int(time.time()) - 900, "exp": int(time.time()) - 600}
        strange = {
            "signed by a stranger": _signed(claims, Ed25519PrivateKey.generate(), "fd-visitor"),
            "expired": _signed(claims | past, ring.private, "fd-visitor"),
            "of another type": _signed(claims, ring.private, "fd-identity"),
            "for another audience": _signed(claims | {"aud": "x"}, ring.private, "fd-visitor"),
            "without a tenant": _signed(claims | {"tenant": ""}, ring.private, "fd-visitor"),
            "of the fleet itself": mint_identity(ring, person, 60),
            "unsigned": jwt.encode(claims, "", algorithm="none"),
            "changed": good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"),
        }
        for kind, token in strange.items():
            status, _ = await ask(door, route, {"Authorization": f"Bearer {token}"})
            assert status == 401, kind

    @routes(lambda route: not route.access.visitor)
    async def test_visitors_reach_only_what_is_for_them(self, door, people, route):
        token = mint_visitor_token(door.parts.keyring, people.visit())
        answer = await ask(door, route, {"Authorization": f"Bearer {token}"})
        assert answer == (403, "VISITOR_NOT_ALLOWED")

    @routes(lambda route: route.access.visitor)
    async def test_a_visitor_reaches_its_own_conversation_only(self, door, people, route):
        visit = people.visit()
        token = mint_visitor_token(door.parts.keyring, visit)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await ask(door, route, headers))[0] == 404
        own = await ask(door, route, headers, conversation_id=visit.conversation_id)
        assert own[0] not in (*_REFUSED, 404)

    @routes(lambda route: route.access.visitor)
    async def test_a_token_is_of_no_use_on_a_page_that_is_not_allowed(self, door, people, route):
        visit = people.visit()
        token = mint_visitor_token(door.parts.keyring, visit)
        headers = {"Authorization": f"Bearer {token}", "Origin": "https://evil.example"}
        answer = await ask(door, route, headers, conversation_id=visit.conversation_id)
        assert answer == (403, "ORIGIN_NOT_ALLOWED")


class TestKeys:
    @routes(lambda route: route.takes_keys and route.lower_roles)
    async def test_a_role_that_is_too_low_is_refused(self, door, people, route):
        for role in route.lower_roles:
            headers = await people.key(role, "*")
            assert await ask(door, route, headers) == (403, "ROLE_TOO_LOW")

    @routes(lambda route: route.takes_keys and route.access.scope != ANY_SCOPE)
    async def test_another_scope_is_refused(self, door, people, route):
        headers = await people.key(Role.ADMIN, route.other_scope)
        assert await ask(door, route, headers) == (403, "SCOPE_MISSING")

    @routes(lambda route: route.access.role and not route.takes_keys)
    async def test_some_things_only_a_person_may_do(self, door, people, route):
        headers = await people.key(Role.ADMIN, "*")
        assert await ask(door, route, headers) == (403, "API_KEY_NOT_ALLOWED")

    @routes(lambda route: route.takes_keys)
    async def test_the_least_role_and_scope_are_let_in(self, door, people, route):
        headers = await people.key(route.access.role, route.own_scope)
        assert (await ask(door, route, headers))[0] not in _REFUSED


class TestPersons:
    @routes(lambda route: route.lower_roles)
    async def test_a_role_that_is_too_low_is_refused(self, door, people, route):
        for role in route.lower_roles:
            headers = await people.person(role)
            assert await ask(door, route, headers) == (403, "ROLE_TOO_LOW")

    @routes(lambda route: route.access.role)
    async def test_the_least_role_is_let_in(self, door, people, route):
        if route.path == "/v1/logout":
            headers = await door.sign_in_new(people.company, Role.VIEWER)
        else:
            headers = await people.person(route.access.role)
        assert (await ask(door, route, headers))[0] not in _REFUSED

    @routes(lambda route: route.access.role and route.unsafe and not route.access.anonymous)
    async def test_without_the_csrf_token_nothing_is_changed(self, door, people, route):
        headers = await people.person(Role.OWNER)
        token = headers.pop("X-CSRF-Token")
        form = {"Content-Type": "application/json"}
        assert await ask(door, route, {**headers, **form}) == (403, "CSRF_TOKEN_MISSING")
        wrong = {**headers, **form, "X-CSRF-Token": token[::-1]}
        assert await ask(door, route, wrong) == (403, "CSRF_TOKEN_WRONG")

    @routes(lambda route: route.access.role and route.unsafe)
    async def test_another_sites_page_can_not_act_for_the_person(self, door, people, route):
        for page in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            headers = {**await people.person(Role.OWNER), **page}
            assert await ask(door, route, headers) == (403, "CROSS_ORIGIN"), page


class TestOtherSites:
    @pytest.mark.parametrize("path", ["/v1/signup", "/v1/login"])
    async def test_a_page_of_another_site_can_not_sign_anybody_up_or_in(self, door, path):
        body = {"email": "eve@evil.example", "password": "x" * 12, "company": "Evil"}
        answer = await door.client.post(path, json=body, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "CROSS_ORIGIN")


def _signed(claims: dict[str, Any], key: Ed25519PrivateKey, kind: str) -> str:
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": kind})
