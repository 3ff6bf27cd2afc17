"""Passages, questions, and what came of asking them: shared by the tests of Answer."""

from typing import Any
from uuid import uuid4

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb

from harness.services import Running

ROUTER = """# Router R7

The router has four LAN ports. It weighs 300 grams.

## Resetting

To restore the factory settings:

1. Unplug the **power** adapter.
2. Hold the *reset* button for ten seconds.
3. Plug the adapter in again.

All [saved networks](https://example.com/networks) are lost. The guest network stays on.
"""
SHIPPING = "We ship to the EU and to Norway. Delivery takes three to five working days."
COOKING = "Whisk the eggs with sugar. Fold in the flour and bake for forty minutes."


def passage(text: str, title: str = "Manual", chunk_id: str = "", **fields: Any) -> pb.Passage:
    return pb.Passage(
        chunk_id=chunk_id or str(uuid4()),
        document_id=str(uuid4()),
        title=title,
        text=text,
        **fields,
    )


def asking(question: str, *passages: pb.Passage, **fields: Any) -> pb.AnswerRequest:
    return pb.AnswerRequest(question=question, passages=passages, **fields)


class Said:
    """Everything that came of one answer."""

    def __init__(self) -> None:
        self.text = ""
        self.citations: list[pb.Citation] = []
        self.completed: pb.AnswerCompleted | None = None

    @property
    def reason(self) -> int:
        assert self.completed is not None
        return self.completed.finish_reason

    def check_citations(self, *passages: pb.Passage) -> None:
        """Every citation quotes its passage exactly, and stands for a part of the answer."""
        texts = {passage.chunk_id: passage for passage in passages}
        for citation in self.citations:
            source = texts[citation.chunk_id]
            assert citation.document_id == source.document_id
            assert source.text[citation.start : citation.end] == citation.quote != ""
            assert 0 <= citation.answer_start < citation.answer_end <= len(self.text)


async def ask(stub: Any, request: pb.AnswerRequest, timeout: float = 60) -> Said:
    said = Said()
    async for response in stub.Answer(request, timeout=timeout):
        assert said.completed is None, "completed comes last"
        match response.WhichOneof("piece"):
            case "delta":
                said.text += response.delta.text
            case "citation":
                said.citations.append(response.citation)
            case _:
                said.completed = response.completed
    return said


async def entries(running: Running) -> dict[str, tuple[int, int, str]]:
    """Units, amount and status by kind of unit, of all calls of a service's ledger together."""
    rows = await running.rows("select * from usage_entry order by usage_id")
    return {row["kind"]: (row["units"], row["amount_nanos"], row["status"]) for row in rows}
