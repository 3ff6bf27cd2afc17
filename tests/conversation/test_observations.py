"""What a visitor's shared screen says, and what answers make of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from conversation.observations import focus
from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetkit.errors import InvalidArgument, NotFound
from harness.access import assert_refuses_strangers

SERVICE = "fleetdesk.conversation.v1.ConversationService"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def observation(conversation_id: str, text: str, second: int = 0) -> pb.AddObservationRequest:
    made = pb.AddObservationRequest(
        conversation_id=conversation_id, frame_id=str(uuid4()), text=text
    )
    made.capture_time.FromDatetime(NOON + timedelta(seconds=second))
    return made


@pytest.fixture
def observe(running, as_background) -> Any:
    """`await observe(visitor, text, second)`, as vision-agent."""

    async def add(visitor: Any, text: str, second: int = 0) -> bool:
        stub = running.stub(ConversationServiceStub, caller="vision-agent")
        with as_background(visitor.tenant_id):
            request = observation(visitor.conversation_id, text, second)
            return (await stub.AddObservation(request)).stored

    return add


class TestStrangers:
    @pytest.mark.parametrize(
        ("rpc", "request_"),
        [
            ("AddObservation", observation(str(uuid4()), "x")),
            ("GetScreenSharing", pb.GetScreenSharingRequest(conversation_id=str(uuid4()))),
        ],
    )
    async def test_get_in_nowhere(self, running, rpc, request_):
        await assert_refuses_strangers(running, f"{SERVICE}.{rpc}", request_)

    async def test_another_tenant_has_no_such_conversation(self, running, arrive, as_background):
        visitor = await arrive(running)
        stub = running.stub(ConversationServiceStub, caller="vision-agent")
        with as_background(uuid4()), pytest.raises(NotFound):
            await stub.AddObservation(observation(visitor.conversation_id, "x"))

    async def test_a_visitor_asks_about_its_own_only(self, running, arrive):
        visitor, other = await arrive(running), await arrive(running)
        stub = running.stub(ConversationServiceStub, caller="vision-agent")
        request = pb.GetScreenSharingRequest(conversation_id=other.conversation_id)
        with visitor.itself(), pytest.raises(NotFound):
            await stub.GetScreenSharing(request)


class TestGetScreenSharing:
    @pytest.mark.parametrize("allowed", [True, False])
    async def test_says_whether_and_for_whom(self, running, arrive, allowed):
        visitor = await arrive(running, screen_sharing=allowed)
        stub = running.stub(ConversationServiceStub, caller="vision-agent")
        with visitor.itself():
            found = await stub.GetScreenSharing(
                pb.GetScreenSharingRequest(conversation_id=visitor.conversation_id)
            )
        assert found.screen_sharing is allowed
        assert (found.agent_id, found.visitor_id) == (visitor.agent_id, visitor.visitor_id)


class TestAddObservation:
    async def test_the_latest_one_counts(self, running, arrive, observe):
        visitor = await arrive(running)
        assert await observe(visitor, "second", second=2)
        assert not await observe(visitor, "first", second=1)
        rows = await running.rows("select text from observation")
        assert [row["text"] for row in rows] == ["second"]

    @pytest.mark.parametrize("text", ["x" * 16_001, "a\0b"], ids=["long", "NUL"])
    async def test_refuses_what_it_cannot_keep(self, running, arrive, observe, text):
        visitor = await arrive(running)
        with pytest.raises(InvalidArgument) as raised:
            await observe(visitor, text)
        assert raised.value.field == "text"


class TestAnswers:
    async def test_an_answer_is_given_what_the_screen_says(
        self, running, arrive, observe, neighbours
    ):
        visitor = await arrive(running, screen_sharing=True)
        await observe(visitor, "Router\nError E-1041: no link")
        await visitor.ask("What does this error mean?")
        asked = neighbours.llm.requests[-1]
        assert asked.screen_text == "Router\nError E-1041: no link"
        assert asked.question == "What does this error mean?"
        queries = neighbours.retrieval.queries
        assert "What does this error mean?\nError E-1041: no link" in queries
        assert "What does this error mean?" in queries

    async def test_not_after_30_seconds(self, running, arrive, observe, neighbours):
        visitor = await arrive(running, screen_sharing=True)
        await observe(visitor, "Error E-1041")
        running.advance(31)
        await visitor.ask("What does this error mean?")
        assert neighbours.llm.requests[-1].screen_text == ""

    async def test_not_when_the_agent_does_not_look(self, running, arrive, observe, neighbours):
        visitor = await arrive(running, screen_sharing=False)
        await observe(visitor, "Error E-1041")
        await visitor.ask("What does this error mean?")
        assert neighbours.llm.requests[-1].screen_text == ""


class TestFocus:
    @pytest.mark.parametrize(
        ("question", "screen", "expected"),
        [
            (
                "What does this mean?",
                "Printer\nError E-1041: no paper\nOK",
                "Error E-1041: no paper",
            ),
            ("Was heißt das?", "Drucker\nFehler 0x80070057\nAbbrechen", "Fehler 0x80070057"),
            ("Help!", "Chrome\nERR_CONNECTION_RESET", "ERR_CONNECTION_RESET"),
            ("What is this?", "Welcome to our shop\nCart (2)\nCheckout", ""),
            ("What is E-1041?", "Printer\nError E-1041: no paper", ""),
            (" ".join(["word"] * 17), "Error E-1041", ""),
            ("What is this?", "", ""),
        ],
        ids=["code", "German", "constant", "no trouble", "named", "long", "nothing"],
    )
    def test_finds_the_lines_that_a_short_question_may_be_about(self, question, screen, expected):
        assert focus(question, screen) == expected

    def test_a_line_with_a_code_comes_first_and_there_is_a_limit(self):
        screen = "\n".join(["Warning: slow"] * 40 + ["Error E-1041"])
        found = focus("What now?", screen)
        assert found.startswith("Error E-1041")
        assert len(found) <= 300
