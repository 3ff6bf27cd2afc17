"""The call context and who sees it."""

import asyncio
from uuid import UUID

import pytest
from fleetkit import context
from fleetkit.context import (
    Attribution,
    CallContext,
    attributed,
    background,
    bound,
    deadline_in,
)
from fleetkit.errors import Unauthenticated
from fleetkit.telemetry import Span

TENANT = UUID("01900000-0000-7000-8000-000000000001")


class TestOutside:
    def test_there_is_neither_tenant_nor_person_nor_deadline(self) -> None:
        assert context.current() == CallContext()
        assert context.remaining_s() is None
        with pytest.raises(Unauthenticated) as no_tenant:
            context.tenant_id()
        with pytest.raises(Unauthenticated) as no_person:
            context.identity()
        assert no_tenant.value.reason == "TENANT_REQUIRED"
        assert no_person.value.reason == "IDENTITY_REQUIRED"


class TestBackground:
    def test_names_the_tenant_and_ends(self) -> None:
        with background(TENANT, Attribution("ingest")):
            assert context.tenant_id() == TENANT
            assert context.current().attribution.purpose == "ingest"
        assert context.current() == CallContext()

    def test_drops_person_and_deadline_of_the_surrounding_work_but_keeps_its_trace(self) -> None:
        outer = CallContext(
            tenant_id=UUID(int=1), identity_token="t", span=Span("a" * 32, "b" * 16), deadline=1.0
        )
        with bound(outer), background(TENANT) as inner:
            assert (inner.identity, inner.identity_token, inner.deadline) == (None, None, None)
            assert inner.trace_id == "a" * 32

    def test_goes_on_with_the_trace_it_is_given(self) -> None:
        with background(TENANT, traceparent=f"00-{'c' * 32}-{'d' * 16}-01") as inner:
            assert inner.trace_id == "c" * 32

    def test_ends_on_errors_too(self) -> None:
        with pytest.raises(RuntimeError), background(TENANT):
            raise RuntimeError
        assert context.current() == CallContext()


class TestAttributed:
    def test_replaces_only_the_attribution(self) -> None:
        with background(TENANT, Attribution("turn")):
            with attributed(Attribution("memory", visitor_id=TENANT)) as inner:
                assert inner.tenant_id == TENANT
                assert inner.attribution == Attribution("memory", visitor_id=TENANT)
            assert context.current().attribution == Attribution("turn")


class TestDeadlineIn:
    def test_never_extends(self) -> None:
        with deadline_in(1), deadline_in(60):
            assert (context.remaining_s() or 99) <= 1
        with deadline_in(60), deadline_in(1):
            assert (context.remaining_s() or 99) <= 1

    def test_does_not_fall_below_zero(self) -> None:
        with deadline_in(-1):
            assert context.remaining_s() == 0


class TestTasks:
    async def test_a_task_inherits_and_does_not_leak(self) -> None:
        async def child() -> UUID:
            seen = context.tenant_id()
            context.bind(CallContext(tenant_id=UUID(int=2)))
            return seen

        with background(TENANT):
            task = asyncio.create_task(child())
        assert await task == TENANT
        assert context.current() == CallContext()
