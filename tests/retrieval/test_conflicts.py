"""Conflicts between articles: found as documents come, change and go."""

from typing import Any

import pytest
from fleetdesk.retrieval.v1 import conflict_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import InvalidArgument, NotFound, PermissionDenied
from harness.waiting import eventually

from .conftest import Knowledge

DUPLICATE = conflict_pb2.CONFLICT_KIND_DUPLICATE
CONTRADICTION = conflict_pb2.CONFLICT_KIND_CONTRADICTION
SAME = "Descale the kettle every month with vinegar, then rinse it twice with clear water.\n"


async def conflicts(knowledge: Knowledge, **fields: Any) -> list[Any]:
    with knowledge.acting("viewer"):
        return list(
            (await knowledge.stub.ListConflicts(pb.ListConflictsRequest(**fields))).conflicts
        )


async def compared(knowledge: Knowledge, retrieval: Any) -> list[Any]:
    """The conflicts once nothing waits to be compared."""

    async def done() -> bool:
        return not await retrieval.rows("select from job where kind = 'compare'")

    await eventually(done)
    return await conflicts(knowledge)


class TestConflicts:
    async def test_are_listed_with_both_places_until_one_changes(
        self, knowledge, other_knowledge, retrieval
    ):
        returns = "Welcome. You can return a kettle within 30 days. Keep the receipt.\n"
        await knowledge.add(returns, title="Returns", external_id="a")
        latter = await knowledge.add("You can return a kettle within 14 days.\n", title="Kettles")
        await other_knowledge.add("You can return a kettle within 60 days.\n", title="Theirs")
        (found,) = await compared(knowledge, retrieval)
        assert (found.kind, found.reason) == (CONTRADICTION, "NUMBERS")
        assert [found.one.title, found.other.title] == ["Returns", "Kettles"]
        assert found.other.document_id == latter.document_id
        assert "30 days" in found.one.text
        with knowledge.acting():
            request = pb.GetDocumentRequest(document_id=found.one.document_id)
            document = (await knowledge.stub.GetDocument(request)).document
        assert document.text[found.one.start : found.one.end] == found.one.text
        assert not await conflicts(other_knowledge)
        await knowledge.add(returns.replace("30", "14"), title="Returns", external_id="a")
        assert not await compared(knowledge, retrieval)

    async def test_that_were_dismissed_stay_so_until_a_passage_changes(
        self, knowledge, other_knowledge, retrieval
    ):
        kept, sent = "Keep the receipt of it. " * 20, "We ship on Mondays. " * 20
        returns = f"You can return a kettle within 30 days. {kept}\n\n# Parcels\n\n{sent}\n"
        await knowledge.add(returns, title="Returns", external_id="a")
        await knowledge.add("You can return a kettle within 14 days.\n", title="Kettles")
        (found,) = await compared(knowledge, retrieval)
        named = pb.DismissConflictRequest(conflict_id=found.conflict_id)
        with other_knowledge.acting("owner"), pytest.raises(NotFound):
            await other_knowledge.stub.DismissConflict(named)
        with knowledge.acting("viewer"), pytest.raises(PermissionDenied):
            await knowledge.stub.DismissConflict(named)
        with knowledge.acting("agent"):
            dismissed = (await knowledge.stub.DismissConflict(named)).conflict
            assert (await knowledge.stub.DismissConflict(named)).conflict == dismissed
        assert dismissed.HasField("dismiss_time")
        assert not await conflicts(knowledge)
        assert await conflicts(knowledge, dismissed=True) == [dismissed]
        # Read again with another passage changed.
        await knowledge.add(returns.replace("Mondays", "Fridays"), title="Returns", external_id="a")
        assert not await compared(knowledge, retrieval)
        (again,) = await conflicts(knowledge, dismissed=True)
        with knowledge.acting("agent"):
            request = pb.RestoreConflictRequest(conflict_id=again.conflict_id)
            assert not (await knowledge.stub.RestoreConflict(request)).conflict.HasField(
                "dismiss_time"
            )
            (listed,) = await conflicts(knowledge)
            await knowledge.stub.DismissConflict(
                pb.DismissConflictRequest(conflict_id=listed.conflict_id)
            )
        await knowledge.add(returns.replace("30", "60"), title="Returns", external_id="a")
        (new,) = await compared(knowledge, retrieval)
        assert "60 days" in new.one.text + new.other.text
        assert not await conflicts(knowledge, dismissed=True)
        assert not await retrieval.rows("select from conflict_dismissal")

    async def test_are_also_passages_that_say_the_same_until_one_goes(self, knowledge, retrieval):
        first = await knowledge.add(SAME, title="Care")
        await knowledge.add(SAME, title="Kettle care")
        await knowledge.add("The pump of the boiler runs at 12V.\n", title="Pump")
        (found,) = await compared(knowledge, retrieval)
        assert (found.kind, found.reason, found.score) == (DUPLICATE, "SAME_TEXT", 1.0)
        assert await conflicts(knowledge, kind=DUPLICATE) == [found]
        assert not await conflicts(knowledge, kind=CONTRADICTION)
        await knowledge.delete(first.source_id)
        assert not await conflicts(knowledge)
        with pytest.raises(InvalidArgument):
            await conflicts(knowledge, page_size=501)
