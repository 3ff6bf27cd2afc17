"""A key stands for one request; sent again, it does nothing again."""

from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from fleetkit.context import Identity
from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from gateway.auth.principal import Principal, Role
from gateway.idempotency import KEPT_HOURS, request_id
from gateway.store.idempotency import delete_old_key_uses
from harness.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


def somebody() -> Principal:
    identity = Identity(uuid4(), str(uuid4()), "api_key", frozenset({"agent"}))
    return Principal("api_key", identity, b"", 0, Role.AGENT)


class TestRequestId:
    async def test_without_a_key_each_request_is_its_own(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        async with request_id(db, principal, "POST /x", "", b"") as one:
            pass
        async with request_id(db, principal, "POST /x", "", b"") as other:
            pass
        assert one != other

    async def test_the_same_key_and_body_is_the_same_request(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        async with request_id(db, principal, "POST /x", "k", b"body") as first:
            pass
        async with request_id(db, principal, "POST /x", "k", b"body") as again:
            pass
        assert first == again

    async def test_the_same_key_with_another_body_is_refused(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        async with request_id(db, principal, "POST /x", "k", b"body"):
            pass
        with pytest.raises(AlreadyExists) as refused:
            async with request_id(db, principal, "POST /x", "k", b"other"):
                pass
        assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"

    async def test_while_it_is_answered_it_is_refused_unless_it_may_be_joined(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        async with request_id(db, principal, "POST /x", "k", b"body") as first:
            with pytest.raises(FailedPrecondition) as refused:
                async with request_id(db, principal, "POST /x", "k", b"body"):
                    pass
            assert refused.value.reason == "IDEMPOTENCY_IN_FLIGHT"
            async with request_id(db, principal, "POST /x", "k", b"body", join=True) as joined:
                assert joined == first
            # Whoever joined did not end it.
            with pytest.raises(FailedPrecondition):
                async with request_id(db, principal, "POST /x", "k", b"body"):
                    pass

    async def test_a_request_that_failed_may_be_tried_again(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        seen = []
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with request_id(db, principal, "POST /x", "k", b"body") as found:
                    seen.append(found)
                    raise ZeroDivisionError
        assert seen[0] == seen[1]

    async def test_a_process_that_died_holds_the_key_for_a_while_only(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        async with AsyncExitStack() as stack:
            dead = request_id(db, principal, "POST /x", "k", b"body")
            first = await stack.enter_async_context(dead)
            async with db.tenant(principal.tenant_id) as conn:
                await conn.execute("update idempotency_key set lease_until = now()")
            async with request_id(db, principal, "POST /x", "k", b"body") as again:
                assert again == first

    async def test_keys_of_others_and_for_other_things_are_apart(self, door: Desk):
        one, other, db = somebody(), somebody(), door.gateway.db
        found = []
        for principal, operation in ((one, "POST /x"), (one, "POST /y"), (other, "POST /x")):
            async with request_id(db, principal, operation, "k", b"body") as key:
                found.append(key)
        assert len(set(found)) == 3

    @pytest.mark.parametrize("key", ["x" * 256, "a\nb", "\x7f"])
    async def test_a_key_that_is_none_is_refused(self, door: Desk, key: str):
        with pytest.raises(InvalidArgument):
            async with request_id(door.gateway.db, somebody(), "POST /x", key, b""):
                pass

    async def test_old_keys_are_forgotten(self, door: Desk):
        principal, db = somebody(), door.gateway.db
        tenant_id = principal.tenant_id
        async with request_id(db, principal, "POST /x", "k", b"body"):
            pass
        async with db.tenant(tenant_id) as conn:
            assert await delete_old_key_uses(conn, tenant_id, KEPT_HOURS) == 0
            await conn.execute(
                "update idempotency_key set create_time = now() - interval '25 h'"
                " where tenant_id = %s",
                [tenant_id],
            )
            assert await delete_old_key_uses(conn, tenant_id, KEPT_HOURS) == 1
