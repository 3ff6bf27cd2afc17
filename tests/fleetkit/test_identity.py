"""Tokens: what verifies, and everything that must not."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleetkit import context
from fleetkit.context import Identity
from fleetkit.errors import Unauthenticated
from fleetkit.rpc.identity import (
    CallerTokens,
    VerifiedTokens,
    acting_as,
    mint_caller,
    mint_identity,
    verify_caller,
    verify_identity,
)
from fleetkit.rpc.keys import KeyRing

TENANT = UUID("01900000-0000-7000-8000-000000000001")
Rings = dict[str, KeyRing]
PERSON = Identity(TENANT, "user-1", "user", frozenset({"admin"}))


@pytest.fixture
def rings(keys_dir: Path) -> Rings:
    return {name: KeyRing.load(keys_dir, name) for name in ("gateway", "conversation", "retrieval")}


def identity_claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "gateway",
        "iat": now,
        "exp": now + 60,
        "tenant": str(TENANT),
        "sub": "user-1",
        "kind": "user",
        "roles": ["admin"],
    }
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def caller_claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": "conversation", "aud": "retrieval", "iat": now, "exp": now + 60}
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def sign(key: Any, claims: dict[str, Any], typ: str, algorithm: str = "EdDSA") -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"typ": typ})


def public_pem(ring: KeyRing, service: str) -> bytes:
    return ring.public[service].public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def refusal(verify: Any, *args: Any) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verify(*args)
    return refused.value.reason


class TestIdentity:
    def test_every_hop_reads_what_the_gateway_minted(self, rings: Rings) -> None:
        visitor = Identity(TENANT, "v", "visitor", frozenset({"visitor"}), uuid4())
        for identity in (PERSON, visitor):
            token = mint_identity(rings["gateway"], identity, 5)
            assert verify_identity(rings["retrieval"], token) == identity

    def test_outlives_the_deadline_by_30_s(self, rings: Rings) -> None:
        token = mint_identity(rings["gateway"], PERSON, 10)
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 40

    def test_only_the_gateway_mints(self, rings: Rings) -> None:
        with pytest.raises(ValueError, match="only gateway"):
            mint_identity(rings["conversation"], PERSON, 5)

    def test_another_services_key_does_not_speak_for_the_gateway(self, rings: Rings) -> None:
        for claims in (identity_claims(), identity_claims(iss="conversation")):
            token = sign(rings["conversation"].private, claims, "fd-identity")
            assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_an_unknown_key_is_refused(self, rings: Rings) -> None:
        token = sign(Ed25519PrivateKey.generate(), identity_claims(), "fd-identity")
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_a_changed_payload_is_refused(self, rings: Rings) -> None:
        head, _, signature = mint_identity(rings["gateway"], PERSON, 5).split(".")
        forged = sign(Ed25519PrivateKey.generate(), identity_claims(roles=["owner"]), "fd-identity")
        token = ".".join((head, forged.split(".")[1], signature))
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_expired_is_refused(self, rings: Rings) -> None:
        claims = identity_claims(iat=int(time.time()) - 100, exp=int(time.time()) - 10)
        token = sign(rings["gateway"].private, claims, "fd-identity")
        assert refusal(verify_identity, rings["retrieval"], token) == "TOKEN_EXPIRED"

    def test_not_yet_issued_is_refused(self, rings: Rings) -> None:
        token = sign(
            rings["gateway"].private, identity_claims(iat=int(time.time()) + 60), "fd-identity"
        )
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    @pytest.mark.parametrize("missing", ["iss", "iat", "exp", "sub"])
    def test_a_missing_claim_is_refused(self, rings: Rings, missing: str) -> None:
        token = sign(rings["gateway"].private, identity_claims(**{missing: None}), "fd-identity")
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    @pytest.mark.parametrize(
        "claims",
        [{"tenant": None}, {"tenant": "x"}, {"kind": "service"}, {"kind": None}, {"roles": "owner"},
         {"conversation_id": "x"}],
    )  # fmt: skip
    def test_a_malformed_claim_is_refused(self, rings: Rings, claims: dict[str, Any]) -> None:
        token = sign(rings["gateway"].private, identity_claims(**claims), "fd-identity")
        assert refusal(verify_identity, rings["retrieval"], token) == "MALFORMED_TOKEN"

    def test_the_public_key_is_no_hmac_secret(self, rings: Rings) -> None:
        # PyJWT refuses to sign so; an attacker would not ask it.
        header = {"alg": "HS256", "typ": "fd-identity"}
        token = jwt.api_jws.encode(b"{}", b"0" * 32, algorithm="HS256", headers=header)
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_unsigned_is_refused(self, rings: Rings) -> None:
        token = jwt.encode(identity_claims(), "", algorithm="none", headers={"typ": "fd-identity"})
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "é"])
    def test_garbage_is_refused(self, rings: Rings, token: str) -> None:
        assert refusal(verify_identity, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_a_caller_token_of_the_gateway_is_no_identity(self, rings: Rings) -> None:
        claims = identity_claims()
        token = sign(rings["gateway"].private, claims, "fd-caller")
        assert refusal(verify_identity, rings["retrieval"], token) == "WRONG_TOKEN_TYPE"
        token = mint_caller(rings["gateway"], "retrieval", TENANT)
        assert refusal(verify_identity, rings["retrieval"], token)


class TestCaller:
    def test_the_callee_learns_caller_and_tenant(self, rings: Rings) -> None:
        caller = verify_caller(rings["retrieval"], mint_caller(rings["conversation"], "retrieval"))
        assert (caller.service, caller.tenant_id) == ("conversation", None)
        token = mint_caller(rings["conversation"], "retrieval", TENANT)
        assert verify_caller(rings["retrieval"], token).tenant_id == TENANT

    def test_lives_60_s(self, rings: Rings) -> None:
        token = mint_caller(rings["conversation"], "retrieval")
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 60

    def test_a_token_for_another_callee_is_refused(self, rings: Rings) -> None:
        token = mint_caller(rings["conversation"], "gateway")
        assert refusal(verify_caller, rings["retrieval"], token) == "WRONG_AUDIENCE"

    def test_one_service_cannot_call_itself_another(self, rings: Rings) -> None:
        token = sign(rings["conversation"].private, caller_claims(iss="gateway"), "fd-caller")
        assert refusal(verify_caller, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_an_unknown_issuer_is_refused(self, rings: Rings) -> None:
        key = Ed25519PrivateKey.generate()
        for issuer in ("stranger", "", None, "../gateway"):
            token = sign(key, caller_claims(iss=issuer), "fd-caller")
            assert refusal(verify_caller, rings["retrieval"], token) == "UNKNOWN_ISSUER"

    def test_expired_is_refused(self, rings: Rings) -> None:
        claims = caller_claims(iat=int(time.time()) - 70, exp=int(time.time()) - 10)
        token = sign(rings["conversation"].private, claims, "fd-caller")
        assert refusal(verify_caller, rings["retrieval"], token) == "TOKEN_EXPIRED"

    def test_a_token_made_to_live_long_is_refused(self, rings: Rings) -> None:
        claims = caller_claims(exp=int(time.time()) + 3600)
        token = sign(rings["conversation"].private, claims, "fd-caller")
        assert refusal(verify_caller, rings["retrieval"], token) == "TOKEN_LIVES_TOO_LONG"

    @pytest.mark.parametrize("missing", ["aud", "iat", "exp"])
    def test_a_missing_claim_is_refused(self, rings: Rings, missing: str) -> None:
        token = sign(rings["conversation"].private, caller_claims(**{missing: None}), "fd-caller")
        assert refusal(verify_caller, rings["retrieval"], token) == "INVALID_TOKEN"

    def test_a_malformed_tenant_is_refused(self, rings: Rings) -> None:
        token = sign(rings["conversation"].private, caller_claims(tenant="x"), "fd-caller")
        assert refusal(verify_caller, rings["retrieval"], token) == "MALFORMED_TOKEN"

    def test_an_identity_is_no_caller_token(self, rings: Rings) -> None:
        claims = caller_claims(iss="gateway", sub="user-1")
        token = sign(rings["gateway"].private, claims, "fd-identity")
        assert refusal(verify_caller, rings["retrieval"], token) == "WRONG_TOKEN_TYPE"

    def test_garbage_is_refused(self, rings: Rings) -> None:
        assert refusal(verify_caller, rings["retrieval"], "a.b.c") == "MALFORMED_TOKEN"


class TestCallerTokens:
    def test_one_token_per_callee_and_tenant_is_reused(self, rings: Rings) -> None:
        tokens = CallerTokens(rings["conversation"])
        first = tokens.token("retrieval", TENANT)
        assert tokens.token("retrieval", TENANT) is first
        assert tokens.token("retrieval", None) != first
        assert tokens.token("memory", TENANT) != first


class TestVerifiedTokens:
    def test_a_known_token_is_read_from_memory_but_not_past_its_expiry(self, rings: Rings) -> None:
        verified = VerifiedTokens(rings["retrieval"])
        token = mint_caller(rings["conversation"], "retrieval")
        caller = verified.caller(token)
        assert verified.caller(token) is caller
        verified._callers[token] = (caller, time.time() - 1)
        assert verified.caller(token) is not caller

    def test_a_refused_token_is_refused_again(self, rings: Rings) -> None:
        verified = VerifiedTokens(rings["retrieval"])
        token = mint_caller(rings["conversation"], "gateway")
        for _ in range(2):
            assert refusal(verified.caller, token) == "WRONG_AUDIENCE"


class TestActingAs:
    def test_binds_person_tenant_token_trace_and_deadline(self, rings: Rings) -> None:
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        with acting_as(rings["gateway"], PERSON, 5, traceparent=parent) as bound:
            assert context.current() is bound
            assert context.identity() == PERSON
            assert context.tenant_id() == TENANT
            assert bound.trace_id == "a" * 32
            assert verify_identity(rings["retrieval"], bound.identity_token or "") == PERSON
            remaining = context.remaining_s()
            assert remaining is not None
            assert 4 < remaining <= 5
        assert context.current().identity is None
