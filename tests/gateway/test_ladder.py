"""A ladder of models in front of a browser: a stream that is cut is one seamless answer there."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from fakes.anthropic_server import Answer, Block, FakeAnthropic
from fakes.faults import Failure, Reset, rate_limited
from fakes.widget_gateway import WidgetGateway
from fleetkit import context
from fleetkit.context import Attribution
from harness.agreeing import told
from harness.asking import answered
from harness.desk import Company, Desk, whole_fleet
from llm_gateway import pricing
from llm_gateway.ledger import Ledger
from llm_gateway.pricing import Unit
from playwright.async_api import Browser, expect
from pydantic import SecretStr

pytestmark = pytest.mark.asyncio(loop_scope="module")

HAIKU = "anthropic/claude-haiku-5-5"
RESET = "Hold the reset button for ten seconds. The light turns amber. Then let go of it."
FIRST, SECOND, THIRD = (
    "Hold the reset button for ten seconds. ",
    "The light turns amber. ",
    "Then let go of it.",
)
BLOCKS = [Block(FIRST, ((0, 0, 1),)), Block(SECOND, ((0, 1, 2),)), Block(THIRD, ((0, 2, 3),))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claude() -> AsyncIterator[FakeAnthropic]:
    server = await FakeAnthropic().start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_services: Any, model_cache: Any, claude: FakeAnthropic) -> Any:
    models = {
        "anthropic_api_key": SecretStr("sk-test"),
        "anthropic_base_url": claude.url,
        "attempt_first_text_s": 2.0,
    }
    async with whole_fleet(module_services.start, model_cache, models=models) as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(desk: Desk) -> Company:
    company = await desk.sign_up()
    await desk.teach(company, "Reset the router", RESET)
    config = {
        "name": "Ada",
        "model": HAIKU,
        "next_models": ["local/extractive"],
        "difficult_share_millis": 0,
    }
    path = f"/v1/agents/{company.agent_id}"
    for method, end, body in (("PUT", "", {"config": config}), ("POST", "/publish", None)):
        answer = await desk.client.request(method, path + end, json=body, headers=company.bearer)
        assert answer.is_success, answer.text
    return company


async def test_a_cut_stream_is_one_seamless_answer(
    desk: Desk, acme: Company, claude: FakeAnthropic, module_browser: Browser
) -> None:
    # Cut within the second sentence; the local model goes on.
    claude.script(Answer(BLOCKS, cut_after_events=13))
    page_source = (
        '<!doctype html><html lang="en"><title>A shop</title><main><h1>A shop</h1>'
        f'<script async src="{desk.gateway.http_url}/widget.js"'
        f' data-agent="{acme.agent_id}"></script></main></html>'
    )
    shop_page = ("text/html; charset=utf-8", page_source.encode(), {})
    async with WidgetGateway({"/": shop_page}) as shop:
        origins = {"allowed_origins": [shop.url]}
        allowed = await desk.client.put(
            f"/v1/agents/{acme.agent_id}/widget", json=origins, headers=acme.bearer
        )
        assert allowed.is_success, allowed.text
        context = await module_browser.new_context(reduced_motion="reduce")
        page = await context.new_page()
        await page.goto(shop.url)
        await page.get_by_role("button", name="Chat with us").click()
        panel = page.get_by_role("dialog")
        await panel.get_by_label("Write a question").fill("How do I reset the router?")
        await panel.get_by_role("button", name="Send").click()
        answers = panel.locator(".msg.agent[data-status]")
        await expect(answers).to_have_attribute("data-status", "completed", timeout=30_000)
        await expect(answers).to_have_count(1)
        words = await answers.locator(".body").inner_text()
        await context.close()
    plain = re.sub(r"\s+", " ", re.sub(r"\d(?=\s|$)", "", words)).strip()
    assert plain.count("Hold the reset button") == 1
    assert plain.startswith(FIRST.strip())
    assert "amber" in plain
    path = "/v1/conversations"
    (item,) = (await desk.client.get(path, headers=acme.bearer)).json()["items"]
    one = await desk.client.get(f"{path}/{item['conversation_id']}", headers=acme.bearer)
    message = one.json()["messages"][-1]
    assert (message["tier"], message["status"]) == (2, "completed")
    for citation in message["citations"]:
        assert citation["quote"] in RESET
        said = message["text"][citation["answer_start"] : citation["answer_end"]]
        assert said.strip() == citation["quote"].strip()


async def test_the_most_an_answer_costs_is_known_and_the_tiers_are_on_the_costs_page(
    desk: Desk, acme: Company
) -> None:
    path = f"/v1/agents/{acme.agent_id}/estimate"
    estimate = (await desk.client.get(path, headers=acme.bearer)).json()
    assert [tier["model"] for tier in estimate["tiers"]] == [HAIKU, "local/extractive"]
    assert 0 < estimate["most_nanos"] == sum(tier["most_nanos"] for tier in estimate["tiers"])
    assert estimate["resolution_nanos"] == 750_000_000
    await desk.caught_up(acme)
    page = await desk.client.get("/costs", headers=await desk.sign_in(acme))
    assert page.status_code == 200
    assert "The most that one answer can cost" in page.text
    assert f"{HAIKU}, then local/extractive" in page.text
    assert "Of a resolution ($0.75)" in page.text


async def test_another_tenant_sees_no_estimate(desk: Desk, acme: Company) -> None:
    other = await desk.sign_up()
    path = f"/v1/agents/{acme.agent_id}/estimate"
    assert (await desk.client.get(path, headers=other.bearer)).status_code == 404


async def test_what_was_saved_adds_up_and_is_on_the_costs_page(
    desk: Desk, acme: Company, claude: FakeAnthropic
) -> None:
    claude.script(Answer(BLOCKS))
    conversation, visitor = await desk.begin(acme)
    await answered(desk, conversation, visitor, "How do I reset the router?")
    await desk.caught_up(acme)
    today = desk.gateway.rt.clock.now()
    times = {"from": (today - timedelta(days=1)).isoformat(), "to": today.isoformat()}
    read: Any = {"params": times, "headers": acme.bearer}
    savings = (await desk.client.get("/v1/analytics/savings", **read)).json()
    assert savings["baseline_model"] == "anthropic/claude-opus-5-5"
    parts = ("actual", "routing", "prompt_caching", "response_cache", "frames")
    assert savings["baseline_nanos"] == sum(savings[f"{part}_nanos"] for part in parts)
    costs = await desk.client.get("/v1/analytics/costs?group_by=model", headers=acme.bearer)
    assert savings["actual_nanos"] == costs.json()["total_nanos"]
    lines = {(line["model"], line["kind"]): line for line in savings["lines"]}
    tokens = lines[HAIKU, "input_token"]
    assert tokens["amount_nanos"] == tokens["units"] * 100  # $0.10 a million
    assert tokens["baseline_nanos"] == tokens["units"] * 4_000  # $4
    assert savings["routing_nanos"] > 0
    caching = (await desk.client.get("/v1/analytics/caching", **read)).json()
    assert caching["target_hit_rate"] == 0.8
    assert caching["total"]["saved_nanos"] == savings["prompt_caching_nanos"]
    page = await desk.client.get("/costs", headers=await desk.sign_in(acme))
    assert "Every answer by anthropic/claude-opus-5-5, no cache" in page.text
    stranger = await desk.sign_up()
    theirs = await desk.client.get("/v1/analytics/savings", params=times, headers=stranger.bearer)
    assert (theirs.json()["baseline_nanos"], theirs.json()["lines"]) == (0, [])
    wrong = {"from": times["to"], "to": times["from"]}
    answer = await desk.client.get("/v1/analytics/savings", params=wrong, headers=acme.bearer)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "from")


async def test_receipts_ledger_costs_savings_and_export_agree_after_every_fault(
    desk: Desk, acme: Company, claude: FakeAnthropic
) -> None:
    models = desk.services["llm-gateway"]
    cut: Any = [{f"{name}_after_events": 13} for name in ("cut", "reset", "malformed", "error")]
    faults = [
        rate_limited(1),
        Failure(529, "overloaded_error"),
        Failure(500, "api_error"),
        Reset(),
        *(Answer(BLOCKS, **fault) for fault in cut),
        Answer(BLOCKS, first_token_after_s=60),
    ]
    for fault in faults:
        claude.script(fault, Answer(BLOCKS))
        conversation, visitor = await desk.begin(acme)
        await answered(desk, conversation, visitor, "How do I reset the router?")
    # A call whose process died between its making and its settling.
    ledger = Ledger(models.db, models.rt.clock, pricing.load())
    with context.background(acme.tenant_id, Attribution("eval")):
        await ledger.open_call(acme.tenant_id, "answer", HAIKU, {Unit.OUTPUT: 1_000})
    async with models.db.tenant(acme.tenant_id) as conn:
        await conn.execute("update usage_call set expire_time = now() where status = 'open'")
    await ledger.sweep(acme.tenant_id)
    await desk.caught_up(acme)
    found = await told(desk.client, headers=acme.bearer)
    assert found.costs == found.export
    assert sum(found.costs.values()) == found.focus_nanos == found.savings_nanos
    assert found.unconfirmed_nanos >= 500_000
    assert found.receipts + Counter({"": found.export[""]}) == found.export
    assert found.agree
