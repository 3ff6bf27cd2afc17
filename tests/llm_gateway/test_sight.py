"""See by models that see: Claude and OpenAI-compatible ones, and who reads what."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from fakes.anthropic_server import Answer as Said
from fakes.anthropic_server import Block, FakeAnthropic
from fakes.faults import failed, overloaded
from fakes.openai_server import Answer, FakeOpenAi
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import FailedPrecondition, Unavailable
from harness.drawing import screen
from harness.services import Running
from llm_gateway import see
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.seeing import Line, Reading, Region
from PIL import Image
from pydantic import SecretStr

As = Callable[..., Any]
HAIKU, LUNA, LOCAL = "anthropic/claude-haiku-4-5", "openai/gpt-6-luna", "local/rapidocr"
CLEAN = screen("Office Printer", "Settings", "Paper in tray 2")
ERROR = screen("Office Printer", "Error E-1041", "Paper jam in tray 2")


def told(*pictures: tuple[list[str], str]) -> str:
    return json.dumps({"pictures": [{"lines": lines, "shows": shows} for lines, shows in pictures]})


@pytest.fixture
async def running(start: Any, claude: FakeAnthropic, openai: FakeOpenAi) -> Running:
    endpoint = OpenAiEndpoint(
        name="openai",
        base_url=openai.url,
        api_key=SecretStr("sk-openai"),
        max_output_field="max_completion_tokens",
    )
    return await start(
        anthropic_api_key=SecretStr("sk-test"),
        anthropic_base_url=claude.url,
        openai_endpoints=(endpoint,),
        answer_model=HAIKU,
        see_sight_model=HAIKU,
        embed_workers=0,
    )


@pytest.fixture
def look(running: Running, as_background: As, tenant_id: UUID) -> Callable[..., Any]:
    stub = running.stub(LlmGatewayServiceStub, caller="vision-agent")

    async def look(image: bytes = CLEAN, **request: Any) -> pb.SeeResponse:
        with as_background(tenant_id):
            return await stub.See(pb.SeeRequest(image=image, **request), timeout=60)

    return look


class TestModels:
    async def test_claude_reads_the_regions_and_says_what_is_shown(
        self, running: Running, look: Any, claude: FakeAnthropic
    ) -> None:
        words = told((["def f():", "    return 1", " "], "A flow chart."), (["two"], ""))
        claude.script(Said([Block(words)]))
        boxes = [
            pb.PixelBox(x=10, y=20, width=200, height=100),
            pb.PixelBox(x=300, y=40, width=90, height=30),
        ]
        seen = await look(regions=boxes, model=HAIKU)
        assert [(line.text, line.box.y, line.box.height) for line in seen.lines] == [
            ("def f():", 20, 50),
            ("    return 1", 70, 50),
            ("two", 40, 30),
        ]
        assert (seen.description, seen.reason, seen.model) == ("A flow chart.", "requested", HAIKU)
        (body,) = claude.requests
        first, second = body["messages"][0]["content"]
        assert [_size(part["source"]["data"]) for part in (first, second)] == [(200, 100), (90, 30)]
        assert body["output_config"]["format"]["type"] == "json_schema"
        rows = await running.rows("select * from usage_entry order by kind")
        assert [(row["kind"], row["units"], row["status"]) for row in rows] == [
            ("input_token", claude.usages[0]["input_tokens"], "settled"),
            ("output_token", claude.usages[0]["output_tokens"], "settled"),
        ]
        (call,) = await running.rows("select operation, reserved_nanos from usage_call")
        assert call["operation"] == "see"
        assert sum(row["amount_nanos"] for row in rows) <= call["reserved_nanos"]

    async def test_an_openai_compatible_one_reads_and_its_pictures_are_told_apart(
        self, running: Running, look: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(Answer(text=told((["Settings"], ""))))
        seen = await look(model=LUNA)
        assert [line.text for line in seen.lines] == ["Settings"]
        (body,) = openai.requests
        (picture,) = body["messages"][1]["content"]
        assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,")
        assert body["response_format"]["json_schema"]["strict"] is True
        rows = await running.rows("select kind, units, amount_nanos from usage_entry order by kind")
        (image,) = (row for row in rows if row["kind"] == "image_token")
        assert (image["units"], image["amount_nanos"]) == (300, 30_000)

    async def test_what_is_not_as_asked_is_told_when_the_model_was_named(
        self, look: Any, claude: FakeAnthropic
    ) -> None:
        for words in ("I see a printer.", told(), '{"pictures": [{"lines": 1}]}'):
            claude.script(Said([Block(words)]))
            with pytest.raises(Unavailable) as error:
                await look(model=HAIKU)
            assert error.value.reason == "OUTPUT_NOT_VALID"

    async def test_a_model_that_takes_no_pictures_is_refused(self, look: Any) -> None:
        with pytest.raises(FailedPrecondition) as refused:
            await look(model="local/extractive")
        assert refused.value.reason == "UNPRICED_MODEL" or refused.value.field == "model"


class TestRouting:
    async def test_by_what_the_picture_shows(self, look: Any, claude: FakeAnthropic) -> None:
        sighted = {
            pb.CONTENT_KIND_CODE_TEXT: "content",
            pb.CONTENT_KIND_DOCUMENTATION: "content",
        }
        for kind, reason in sighted.items():
            claude.script(Said([Block(told((["x"], "")))]))
            seen = await look(content=kind)
            assert (seen.model, seen.reason) == (HAIKU, reason)
        for kind in (pb.CONTENT_KIND_UNSPECIFIED, pb.CONTENT_KIND_STATIC_UI):
            seen = await look(content=kind)
            assert (seen.model, seen.reason) == (LOCAL, "default")
        assert len(claude.requests) == 2

    async def test_an_error_on_a_clean_screen_is_looked_at_and_both_are_paid(
        self, running: Running, look: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Said([Block(told((["Error E-1041"], "")))]))
        seen = await look(ERROR, content=pb.CONTENT_KIND_STATIC_UI)
        assert (seen.model, seen.reason) == (HAIKU, "error_shown")
        calls = await running.rows("select provider, status from usage_call order by call_id")
        assert [(call["provider"], call["status"]) for call in calls] == [
            ("local", "settled"),
            ("anthropic", "settled"),
        ]

    async def test_the_local_reader_serves_where_the_model_fails(
        self, look: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(overloaded(), overloaded(), failed())
        seen = await look(ERROR, content=pb.CONTENT_KIND_CODE_TEXT)
        assert (seen.model, seen.reason) == (LOCAL, "model_failed")
        assert "Error E-1041" in [line.text for line in seen.lines]
        claude.script(Said([Block("no JSON")]))
        seen = await look(ERROR)
        assert (seen.model, seen.reason) == (LOCAL, "model_failed")

    @pytest.mark.parametrize(
        ("lines", "doubt"),
        [
            ([], ""),
            ([("Settings", 0.97), ("Tray 2", 0.95)], ""),
            ([("Settings", 0.97), ("Tr4y 2 l0ng and badly read", 0.6)], "low_confidence"),
            ([("Connection failed", 0.97)], "error_shown"),
            ([("code 0x80070005", 0.97)], "error_shown"),
            ([("E404 reached", 0.97)], "error_shown"),
            ([("Mirror", 0.97)], ""),
        ],
    )
    def test_what_makes_a_first_reading_doubtful(
        self, lines: list[tuple[str, float]], doubt: str
    ) -> None:
        box = Region(0, 0, 10, 10)
        assert see._doubt(Reading([Line(text, box, sure) for text, sure in lines])) == doubt


def _size(data: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return image.size
