"""The repository's own README, as the demo tenant's knowledge: its questions get their answers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.tokens import TokenCounter, tokenizer_path
from harness.answers import ask, asking, passage
from retrieval.parsing.prepare import PrepareOptions, prepare

README = Path(__file__).parents[2] / "README.md"
QUESTION = re.compile(r"^### (?P<question>.+\?)\n\n(?P<answer>.+)$", re.MULTILINE)
ASKED = {found["question"]: found["answer"] for found in QUESTION.finditer(README.read_text())}
# The same in other words.
REWORDED = {
    "how can I shut the fleet down?": "How do I stop the fleet?",
    "Is Docker required?": "Does it need Docker, an account or an API key?",
    "what port is Fleetdesk on?": "Which port does it use?",
    "How much does one answer cost?": "What does an answer cost?",
}

As = Callable[..., Any]


@pytest.fixture(scope="module")
def passages() -> list[pb.Passage]:
    """The README as retrieval cuts it; every passage is offered, the right ones not first."""
    made = prepare(README.read_bytes(), PrepareOptions(), TokenCounter(tokenizer_path(None)))
    cut = [
        passage(made.text[piece.start : piece.end], made.title, heading_path=piece.heading_path)
        for piece in made.chunks
    ]
    questions = next(i for i, p in enumerate(cut) if "Questions people ask" in p.heading_path)
    assert questions > 0
    return cut[:questions][-8:] + cut[questions:][:12]


def plain(text: str) -> str:
    return " ".join(re.sub(r"[`*]", "", text).split())


class TestOwnReadme:
    def test_has_questions(self) -> None:
        assert len(ASKED) >= 5

    async def test_a_question_that_is_a_heading_is_answered_from_below_it(
        self, stub: Any, as_background: As, tenant_id: UUID, passages: list[pb.Passage]
    ) -> None:
        for question, answer in ASKED.items():
            with as_background(tenant_id):
                said = await ask(stub, asking(question, *passages))
            first = plain(said.text).split(". ")[0]
            assert first in plain(answer), question

    async def test_and_so_is_the_same_question_in_other_words(
        self, stub: Any, as_background: As, tenant_id: UUID, passages: list[pb.Passage]
    ) -> None:
        for question, heading in REWORDED.items():
            with as_background(tenant_id):
                said = await ask(stub, asking(question, *passages))
            first = plain(said.text).split(". ")[0]
            assert first in plain(ASKED[heading]), question

    async def test_and_so_it_is_whatever_was_asked_before(
        self, stub: Any, as_background: As, tenant_id: UUID, passages: list[pb.Passage]
    ) -> None:
        before = [pb.HistoryTurn(from_visitor=True, text="How do I stop the fleet?")]
        for question in ("What does an answer cost?", "Where is the data?"):
            with as_background(tenant_id):
                said = await ask(stub, asking(question, *passages, history=before))
            first = plain(said.text).split(". ")[0]
            assert first, question
            assert first in plain(ASKED[question]), question
