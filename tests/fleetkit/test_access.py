"""Authorisation of RPCs, over a real channel: who gets in, and who is refused how."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleetkit import context
from fleetkit.context import CallContext, Identity, background
from fleetkit.errors import FleetError, PermissionDenied, Unauthenticated
from fleetkit.rpc.identity import acting_as, mint_caller, mint_identity
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.status import from_rpc_error
from harness.echo import EchoService

TENANT = UUID("01900000-0000-7000-8000-000000000001")
OTHER = UUID("01900000-0000-7000-8000-000000000002")
VISITOR = Identity(TENANT, "visitor-1", "visitor", frozenset({"visitor"}), TENANT)
METHODS = ("Say", "SayToVisitor", "SayInPublic", "Count", "Gather", "Chat")


def person(role: str, kind: Any = "user") -> Identity:
    return Identity(TENANT, "subject-1", kind, frozenset({role}))


async def outcome(call: Any) -> str:
    """OK, or class and reason of the error."""
    try:
        await call
    except FleetError as error:
        return f"{type(error).__name__} {error.reason}"
    return "OK"


async def bare(rpc: EchoService, method: str, *metadata: tuple[str, str]) -> tuple[str, str]:
    """Code and reason of a call with exactly this metadata."""
    stub = rpc.bare_stub()
    request: Any = rpc.text("x")
    if method in ("Gather", "Chat"):
        request = iter([request])
    try:
        call = getattr(stub, method)(request, timeout=5, metadata=metadata)
        if method in ("Count", "Chat"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, from_rpc_error(error, "retrieval").reason
    return "OK", ""


class TestCallerToken:
    @pytest.mark.parametrize("method", METHODS)
    async def test_no_token_at_all_is_refused_by_every_method(
        self, rpc: EchoService, method: str
    ) -> None:
        assert await bare(rpc, method) == ("UNAUTHENTICATED", "CALLER_REQUIRED")

    @pytest.mark.parametrize("method", METHODS)
    async def test_an_identity_alone_is_refused_by_every_method(
        self, rpc: EchoService, method: str
    ) -> None:
        token = mint_identity(rpc.keyring("gateway"), person("owner"), 5)
        refused = await bare(rpc, method, ("fd-identity", token))
        assert refused == ("UNAUTHENTICATED", "CALLER_REQUIRED")

    @pytest.mark.parametrize("method", METHODS)
    async def test_a_forged_caller_is_refused_by_every_method(
        self, rpc: EchoService, method: str
    ) -> None:
        forger = KeyRing("conversation", Ed25519PrivateKey.generate(), {})
        token = mint_caller(forger, "retrieval", TENANT)
        refused = await bare(rpc, method, ("fd-caller", token))
        assert refused == ("UNAUTHENTICATED", "INVALID_TOKEN")

    async def test_a_token_for_another_callee_is_refused(self, rpc: EchoService) -> None:
        token = mint_caller(rpc.keyring("conversation"), "gateway", TENANT)
        refused = await bare(rpc, "Say", ("fd-caller", token))
        assert refused == ("UNAUTHENTICATED", "WRONG_AUDIENCE")

    async def test_a_stranger_is_refused(self, rpc: EchoService) -> None:
        stranger = KeyRing("stranger", Ed25519PrivateKey.generate(), {})
        token = mint_caller(stranger, "retrieval", TENANT)
        refused = await bare(rpc, "Say", ("fd-caller", token))
        assert refused == ("UNAUTHENTICATED", "UNKNOWN_ISSUER")

    async def test_a_good_caller_does_not_save_a_forged_identity(self, rpc: EchoService) -> None:
        forger = KeyRing("gateway", Ed25519PrivateKey.generate(), {})
        refused = await bare(
            rpc,
            "Say",
            ("fd-caller", mint_caller(rpc.keyring("conversation"), "retrieval", TENANT)),
            ("fd-identity", mint_identity(forger, person("owner"), 5)),
        )
        assert refused == ("UNAUTHENTICATED", "INVALID_TOKEN")

    async def test_an_expired_identity_is_refused(self, rpc: EchoService) -> None:
        refused = await bare(
            rpc,
            "Say",
            ("fd-caller", mint_caller(rpc.keyring("gateway"), "retrieval")),
            ("fd-identity", mint_identity(rpc.keyring("gateway"), person("owner"), -60)),
        )
        assert refused == ("UNAUTHENTICATED", "TOKEN_EXPIRED")


class TestPerson:
    @pytest.mark.parametrize(
        ("role", "expected"),
        [
            ("owner", "OK"),
            ("admin", "OK"),
            ("agent", "OK"),
            ("viewer", "PermissionDenied ROLE_TOO_LOW"),
            ("visitor", "PermissionDenied ROLE_TOO_LOW"),
            ("god", "PermissionDenied ROLE_TOO_LOW"),
        ],
    )
    @pytest.mark.parametrize("kind", ["user", "api_key"])
    async def test_needs_the_methods_role(
        self, rpc: EchoService, role: str, expected: str, kind: str
    ) -> None:
        with acting_as(rpc.keyring("gateway"), person(role, kind), 5):
            call = rpc.stub("gateway").Say(rpc.text("x"))
            assert await outcome(call) == expected

    async def test_without_roles_is_refused(self, rpc: EchoService) -> None:
        nobody = Identity(TENANT, "u", "user", frozenset())
        with acting_as(rpc.keyring("gateway"), nobody, 5):
            call = rpc.stub("gateway").Say(rpc.text("x"))
            assert await outcome(call) == "PermissionDenied ROLE_TOO_LOW"

    async def test_is_refused_where_only_visitors_are_meant(self, rpc: EchoService) -> None:
        with acting_as(rpc.keyring("gateway"), person("owner"), 5):
            call = rpc.stub("gateway").SayToVisitor(rpc.text("x"))
            assert await outcome(call) == "PermissionDenied ROLE_TOO_LOW"

    async def test_is_refused_through_a_caller_that_is_not_listed(self, rpc: EchoService) -> None:
        with acting_as(rpc.keyring("gateway"), person("owner"), 5) as bound:
            token = bound.identity_token
        with context.bound(CallContext(tenant_id=TENANT, identity_token=token)):
            call = rpc.stub("retrieval").Say(rpc.text("x"))
            assert await outcome(call) == "PermissionDenied CALLER_NOT_ALLOWED"
            call = rpc.stub("conversation").Gather(iter([rpc.text("x")]))
            assert await outcome(call) == "PermissionDenied CALLER_NOT_ALLOWED"

    async def test_comes_through_a_second_hop_unchanged(self, rpc: EchoService) -> None:
        seen: list[CallContext] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.current())
            return request

        rpc.echo.handlers["Say"] = say
        with acting_as(rpc.keyring("gateway"), person("agent"), 5) as bound:
            pass
        inner = CallContext(tenant_id=TENANT, identity_token=bound.identity_token)
        with context.bound(inner):
            await rpc.stub("conversation").Say(rpc.text("x"))
        assert seen[0].identity == person("agent")
        assert seen[0].identity_token == bound.identity_token
        assert seen[0].caller == "conversation"

    async def test_the_tenant_is_the_identitys_whatever_the_caller_claims(
        self, rpc: EchoService
    ) -> None:
        seen: list[UUID] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.tenant_id())
            return request

        rpc.echo.handlers["Say"] = say
        result = await bare(
            rpc,
            "Say",
            ("fd-caller", mint_caller(rpc.keyring("conversation"), "retrieval", OTHER)),
            ("fd-identity", mint_identity(rpc.keyring("gateway"), person("agent"), 5)),
        )
        assert result == ("OK", "")
        assert seen == [TENANT]


class TestVisitor:
    async def test_gets_in_where_visitors_may(self, rpc: EchoService) -> None:
        with acting_as(rpc.keyring("gateway"), VISITOR, 5):
            call = rpc.stub("gateway").SayToVisitor(rpc.text("x"))
            assert await outcome(call) == "OK"

    @pytest.mark.parametrize("role", ["visitor", "owner"])
    async def test_is_refused_elsewhere_whatever_role_it_claims(
        self, rpc: EchoService, role: str
    ) -> None:
        visitor = Identity(TENANT, "v", "visitor", frozenset({role}), TENANT)
        with acting_as(rpc.keyring("gateway"), visitor, 5):
            call = rpc.stub("gateway").Say(rpc.text("x"))
            assert await outcome(call) == "PermissionDenied VISITOR_NOT_ALLOWED"


class TestBackground:
    async def test_carries_the_tenant_of_the_caller(self, rpc: EchoService) -> None:
        seen: list[CallContext] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.current())
            return request

        rpc.echo.handlers["Say"] = say
        with background(TENANT):
            await rpc.stub("conversation").Say(rpc.text("x"))
        assert seen[0].tenant_id == TENANT
        assert seen[0].identity is None

    async def test_needs_a_person_where_the_caller_is_not_listed_for_background(
        self, rpc: EchoService
    ) -> None:
        with background(TENANT), pytest.raises(Unauthenticated) as refused:
            await rpc.stub("gateway").Say(rpc.text("x"))
        assert refused.value.reason == "IDENTITY_REQUIRED"

    async def test_is_denied_to_a_caller_that_is_not_listed_at_all(self, rpc: EchoService) -> None:
        with background(TENANT):
            call = rpc.stub("retrieval").Say(rpc.text("x"))
            assert await outcome(call) == "PermissionDenied CALLER_NOT_ALLOWED"

    async def test_without_a_tenant_is_refused(self, rpc: EchoService) -> None:
        call = rpc.stub("conversation").Say(rpc.text("x"))
        assert await outcome(call) == "Unauthenticated TENANT_REQUIRED"

    async def test_without_a_tenant_gets_in_where_data_is_public(self, rpc: EchoService) -> None:
        call = rpc.stub("gateway").SayInPublic(rpc.text("x"))
        assert await outcome(call) == "OK"

    async def test_a_handler_that_wants_a_tenant_there_refuses(self, rpc: EchoService) -> None:
        async def say(request: Any, call: Any) -> Any:
            return rpc.text(str(context.tenant_id()))

        rpc.echo.handlers["SayInPublic"] = say
        call = rpc.stub("gateway").SayInPublic(rpc.text("x"))
        assert await outcome(call) == "Unauthenticated TENANT_REQUIRED"

    async def test_refused_streams_never_reach_the_handler(self, rpc: EchoService) -> None:
        reached = []

        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            reached.append(1)
            yield request

        rpc.echo.handlers["Count"] = count
        with background(TENANT), pytest.raises(PermissionDenied):
            async for _ in rpc.stub("retrieval").Count(rpc.text("x")):
                pass
        assert reached == []


class TestStart:
    async def test_a_method_without_access_is_refused(self, rpc: EchoService) -> None:
        class Open:
            async def Open(self, request: Any, call: Any) -> Any:
                return request

        with pytest.raises(ValueError, match=r"UnguardedService.Open has no option"):
            rpc.server.add(rpc.protos.unguarded.add_UnguardedServiceServicer_to_server, Open())
