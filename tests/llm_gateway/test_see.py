"""See: who may call, what is refused, what is read and what it costs."""

import io
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import events_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import Attribution
from fleetkit.errors import FailedPrecondition, InvalidArgument
from harness.access import assert_refuses_strangers
from harness.drawing import screen
from harness.services import Running
from harness.waiting import eventually
from llm_gateway.pricing import amount_nanos
from PIL import Image

As = Callable[..., Any]
_ORIENTATION = 0x0112
PICTURE = screen("Office Printer", "Error E-1041", "Paper jam in tray 2")


@pytest.fixture
async def running(start: Any) -> Running:
    """Nothing embeds here: only the reader is of interest."""
    return await start()


@pytest.fixture
def stub(running: Running) -> Any:
    return running.stub(LlmGatewayServiceStub, caller="vision-agent")


def texts(response: pb.SeeResponse) -> list[str]:
    return [line.text for line in response.lines]


class TestSee:
    async def test_refuses_strangers(self, running: Running) -> None:
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.See"
        await assert_refuses_strangers(running, method, pb.SeeRequest(image=PICTURE))

    async def test_reads_a_screen_and_says_where_the_lines_stand(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        with as_background(tenant_id):
            seen = await stub.See(pb.SeeRequest(image=PICTURE), timeout=60)
        assert "Error E-1041" in texts(seen)
        line = next(line for line in seen.lines if line.text == "Error E-1041")
        assert 90 <= line.box.x <= 110
        assert 115 <= line.box.y <= 145
        assert line.confidence_millis > 800
        assert seen.model == "local/rapidocr"

    async def test_reads_only_the_regions(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        region = pb.PixelBox(x=80, y=115, width=320, height=45)
        with as_background(tenant_id):
            seen = await stub.See(pb.SeeRequest(image=PICTURE, regions=[region]), timeout=60)
        assert texts(seen) == ["Error E-1041"]
        assert 115 <= seen.lines[0].box.y <= 145

    async def test_an_orientation_that_is_noted_turns_nothing(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        turned = io.BytesIO()
        exif = Image.Exif()
        exif[_ORIENTATION] = 6
        with Image.open(io.BytesIO(PICTURE)) as picture:
            picture.convert("RGB").save(turned, "JPEG", quality=95, exif=exif)
        region = pb.PixelBox(x=80, y=115, width=320, height=45)
        with as_background(tenant_id):
            seen = await stub.See(
                pb.SeeRequest(image=turned.getvalue(), regions=[region]), timeout=60
            )
        assert texts(seen) == ["Error E-1041"]

    async def test_its_cost_stands_on_the_conversations_ledger(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        conversation_id = uuid4()
        attribution = Attribution(purpose="screen", conversation_id=conversation_id)
        with as_background(tenant_id, attribution):
            await stub.See(pb.SeeRequest(image=PICTURE), timeout=60)
        (row,) = await running.rows("select * from usage_entry")
        assert (row["service"], row["model"], row["kind"]) == (
            "vision-agent",
            "rapidocr",
            "compute_us",
        )
        assert (row["purpose"], row["conversation_id"]) == ("screen", conversation_id)
        assert row["status"] == "settled"
        assert row["amount_nanos"] == amount_nanos(row["units"], 10_000) > 0
        assert len(await running.events(events_pb2.UsageRecorded)) == 1

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"image": b""}, "image"),
            ({"image": b"no picture"}, "image"),
            ({"image": b"x" * 3_000_001}, "image"),
            ({"regions": [pb.PixelBox(x=1200, y=0, width=200, height=20)]}, "regions[0]"),
            ({"regions": [pb.PixelBox(x=0, y=0, width=0, height=20)]}, "regions[0]"),
            ({"regions": [pb.PixelBox(x=0, y=0, width=9, height=9)] * 33}, "regions"),
        ],
    )
    async def test_names_what_is_wrong(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID, fields, field
    ) -> None:
        request = pb.SeeRequest(**{"image": PICTURE, **fields})
        with as_background(tenant_id), pytest.raises(InvalidArgument) as raised:
            await stub.See(request)
        assert raised.value.field == field
        assert await running.rows("select 1 from usage_call") == []

    async def test_a_damaged_picture_costs_nothing_unconfirmed(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        with as_background(tenant_id), pytest.raises(InvalidArgument, match="damaged"):
            await stub.See(pb.SeeRequest(image=PICTURE[:700]), timeout=60)
        rows = await running.rows("select status from usage_entry")
        assert {row["status"] for row in rows} <= {"settled"}

    async def test_a_model_of_nobody_is_refused(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        with as_background(tenant_id), pytest.raises(FailedPrecondition) as raised:
            await stub.See(pb.SeeRequest(image=PICTURE, model="nobody/eyes"))
        assert raised.value.reason == "PROVIDER_NOT_CONFIGURED"


class TestTheWorker:
    @pytest.fixture
    async def running(self, start: Any) -> Running:
        return await start(see_idle_s=1.0)

    async def test_ends_when_idle_and_begins_again(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID, see_pids: Any
    ) -> None:
        assert see_pids() == []
        with as_background(tenant_id):
            await stub.See(pb.SeeRequest(image=PICTURE), timeout=60)
            assert len(see_pids()) == 1

            async def gone() -> bool:
                return see_pids() == []

            await eventually(gone, timeout_s=20)
            again = await stub.See(pb.SeeRequest(image=PICTURE), timeout=60)
        assert "Error E-1041" in texts(again)
