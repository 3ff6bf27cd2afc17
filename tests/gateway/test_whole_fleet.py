"""The path through the whole fleet: knowledge in, a cited answer out, and what it cost."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import pytest_asyncio
from harness.asking import answered, asked
from harness.desk import Company, Desk
from harness.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

RETURNS = """# Returns

You can return a board within 30 days of purchase. Send it back in its original box.

# Shipping

Shipping takes five working days within Europe.
"""
QUESTION = "How long do I have to return a board?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(desk: Desk) -> Company:
    company = await desk.sign_up()
    await desk.teach(company, "Returns and shipping", RETURNS)
    return company


async def upload(
    desk: Desk, company: Company, name: str, content: bytes, **fields: str
) -> dict[str, Any]:
    """What becomes of a file, once it is ready or has failed."""
    answer = await desk.client.post(
        "/v1/knowledge/sources",
        files={"file": (name, content)},
        data=fields,
        headers=company.bearer,
    )
    assert answer.status_code == 201, answer.text
    path = f"/v1/knowledge/sources/{answer.json()['source_id']}"

    async def ended() -> Any:
        source = (await desk.client.get(path, headers=company.bearer)).json()
        return source if source["status"] in ("ready", "failed") else None

    return await eventually(ended, timeout_s=60)


class TestAnswers:
    async def test_a_question_gets_a_cited_answer(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        events = await asked(desk, conversation, visitor, QUESTION)
        assert events[-1].data["outcome"] == "answered"
        (citation, *_) = next(e for e in events if e.name == "message.citations").data["citations"]
        assert "30 days" in citation["quote"]
        document = await desk.client.get(
            f"/v1/knowledge/documents/{citation['document_id']}", headers=acme.bearer
        )
        assert citation["quote"] in document.json()["text"]

    async def test_what_the_knowledge_does_not_say_is_handed_over(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        question = "What is the capital of France?"
        answer = (await answered(desk, conversation, visitor, question)).json()
        assert (answer["outcome"], answer["handoff_reason"]) == ("handoff", "missing_knowledge")

    async def test_receipts_ledger_and_costs_are_the_same_to_the_nano_dollar(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        total = 0
        for question in (QUESTION, "How long does shipping take?"):
            answer = (await answered(desk, conversation, visitor, question)).json()
            assert answer["receipt"]["total_nanos"] > 0
            total += answer["receipt"]["total_nanos"]
        await desk.caught_up(acme)
        path = "/v1/analytics/costs?group_by=conversation"
        costs = (await desk.client.get(path, headers=acme.bearer)).json()
        groups = {group["key"]: group["amount_nanos"] for group in costs["groups"]}
        assert groups[conversation] == total
        assert sum(groups.values()) == costs["total_nanos"]
        assert groups[""] > 0  # taking the text in serves no conversation
        (row,) = await desk.services["llm-gateway"].rows(
            "select sum(amount_nanos)::bigint as total from usage_entry where conversation_id = %s",
            conversation,
        )
        assert row["total"] == total

    async def test_costs_add_up_by_every_key(self, desk, acme):
        await desk.caught_up(acme)
        totals = set()
        for key in ("conversation", "agent", "visitor", "model", "service", "purpose", "day"):
            path = f"/v1/analytics/costs?group_by={key}"
            costs = (await desk.client.get(path, headers=acme.bearer)).json()
            totals.add(costs["total_nanos"])
            assert sum(group["amount_nanos"] for group in costs["groups"]) == costs["total_nanos"]
        assert len(totals) == 1
        path = "/v1/analytics/costs?group_by=day&from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z"
        assert (await desk.client.get(path, headers=acme.bearer)).json()["total_nanos"] == 0


class TestKpis:
    async def test_count_what_happened(self, desk):
        company = await desk.sign_up()
        await desk.teach(company, "Returns and shipping", RETURNS)
        for question in (QUESTION, "What is the capital of France?"):
            conversation, visitor = await desk.begin(company)
            await answered(desk, conversation, visitor, question)
        await desk.caught_up(company)
        now = desk.gateway.rt.clock.now()
        times = {"from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}

        async def counted() -> Any:
            found = await desk.client.get(
                "/v1/analytics/kpis", params=times, headers=company.bearer
            )
            assert found.status_code == 200, found.text
            kpis = found.json()
            return kpis if kpis["current"]["shares"]["handed_over"] else None

        kpis = await eventually(counted)
        current = kpis["current"]
        assert current["conversations"] == {
            "total": 2,
            "answered_alone": 1,
            "clarify": 0,
            "handed_over": 1,
            "unanswered": 0,
            "closed": 0,
        }
        assert current["shares"]["answered_alone"] == current["shares"]["answered"] == 0.5
        assert current["handoffs"] == [{"reason": "missing_knowledge", "conversations": 1}]
        assert 0 < current["mean_confidence"] <= 1
        assert current["first_token"]["count"] == 2
        path = "/v1/analytics/costs?group_by=conversation"
        costs = (await desk.client.get(path, headers=company.bearer)).json()
        spent = sum(group["amount_nanos"] for group in costs["groups"] if group["key"])
        assert current["conversations_nanos"] == spent
        assert kpis["previous"]["conversations"]["total"] == 0
        assert kpis["previous"]["shares"]["handed_over"] is None
        assert sum(point["conversations"]["total"] for point in kpis["series"]) == 2
        assert kpis["targets"]["handed_over"] == 0.25

    async def test_need_a_period(self, desk, acme):
        for query, field in (
            ("to=2026-01-01T00:00:00Z", "from"),
            ("from=2026-01-01T00:00:00Z", "to"),
            ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
            ("from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ):
            path = f"/v1/analytics/kpis?{query}"
            answer = await desk.client.get(path, headers=acme.bearer)
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["field"] == field


class TestSearch:
    async def test_its_shape(self, desk, acme):
        body = {"query": QUESTION, "top_k": 3, "explain": True, "rerank": True}
        found = await desk.client.post("/v1/knowledge/search", json=body, headers=acme.bearer)
        assert {"results", "relevance", "reranked"} <= set(found.json())
        assert (found.json()["reranked"], found.json()["rerank_reason"]) == (True, "")
        assert found.json()["rerank_model"] == "local/late-interaction"
        (result, *_) = found.json()["results"]
        wanted = {"document_id", "external_id", "chunk_id", "title", "url", "text", "score"}
        assert wanted <= set(result)
        assert {"dense", "bm25", "keyword", "rerank"} <= set(result["scores"])
        assert result["scores"]["dense"] is not None

    async def test_without_explaining_there_are_no_scores_of_stages(self, desk, acme):
        body = {"query": QUESTION}
        found = await desk.client.post("/v1/knowledge/search", json=body, headers=acme.bearer)
        assert found.json()["results"][0]["scores"] is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"query": ""}, "query"),
            ({"query": "x" * 17_000}, "query"),
            ({"query": "x", "top_k": 0}, "top_k"),
            ({"query": "x", "top_k": 51}, "top_k"),
        ],
        ids=["empty", "long", "none", "many"],
    )
    async def test_what_is_wrong_is_named(self, desk, acme, body, field):
        found = await desk.client.post("/v1/knowledge/search", json=body, headers=acme.bearer)
        assert found.status_code == 400
        assert found.json()["errors"][0]["field"] == field


class TestSources:
    async def test_a_file_is_taken_with_its_fields(self, desk, acme):
        source = await upload(
            desk, acme, "warranty.md", b"# Warranty\n\nTwo years.", external_id="w-1", title="W"
        )
        assert source["status"] == "ready"
        assert (source["external_id"], source["title"], source["file_name"]) == (
            "w-1",
            "W",
            "warranty.md",
        )

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("program.exe", b"MZ\x90\x00" + bytes(300)),
            ("broken.pdf", b"%PDF-1.7\nnonsense"),
            ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(300)),
        ],
    )
    async def test_a_file_that_can_not_be_used_says_so(self, desk, acme, name, content):
        answer = await desk.client.post(
            "/v1/knowledge/sources", files={"file": (name, content)}, headers=acme.bearer
        )
        if answer.status_code == 201:
            source = await upload(desk, acme, name, content)
            assert source["status"] == "failed"
            assert source["error"]
            assert source["error_reason"]
        else:
            assert answer.status_code in (400, 415)
            assert answer.json()["detail"]

    async def test_an_empty_file_is_refused(self, desk, acme):
        answer = await desk.client.post(
            "/v1/knowledge/sources", files={"file": ("a.md", b"")}, headers=acme.bearer
        )
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "file"

    async def test_a_known_external_id_replaces(self, desk):
        company = await desk.sign_up()
        for text in (b"# One", b"# Two"):
            await upload(desk, company, "a.md", text, external_id="same")
        sources = (await desk.client.get("/v1/knowledge/sources", headers=company.bearer)).json()
        assert len(sources["items"]) == 1

    async def test_a_batch_takes_each_text_by_itself(self, desk):
        company = await desk.sign_up()
        texts = [{"type": "text", "text": f"# Page {n}", "external_id": f"p{n}"} for n in range(3)]
        texts[1]["url"] = "not a link"
        answer = await desk.client.post(
            "/v1/knowledge/sources:batch", json={"sources": texts}, headers=company.bearer
        )
        items = answer.json()["items"]
        assert [("source" in item) for item in items] == [True, False, True]
        assert items[1]["error_field"]

    async def test_pending_is_anything_before_ready_or_failed(self, desk):
        company = await desk.sign_up()
        await upload(desk, company, "a.md", b"# One")
        path = "/v1/knowledge/sources?status="
        pending = (await desk.client.get(f"{path}pending", headers=company.bearer)).json()
        assert pending["items"] == []
        ready = (await desk.client.get(f"{path}ready", headers=company.bearer)).json()
        assert len(ready["items"]) == 1
        assert ready["counts"]["ready"] == 1
        wrong = await desk.client.get(f"{path}asleep", headers=company.bearer)
        assert wrong.status_code == 400

    async def test_a_deleted_one_is_gone_and_is_cited_no_more(self, desk):
        company = await desk.sign_up()
        source = await upload(desk, company, "a.md", RETURNS.encode())
        path = f"/v1/knowledge/sources/{source['source_id']}"
        again = await desk.client.post(f"{path}/sync", headers=company.bearer)
        assert again.status_code == 200
        assert (await desk.client.delete(path, headers=company.bearer)).status_code == 204
        assert (await desk.client.get(path, headers=company.bearer)).status_code == 404
        assert (await desk.client.delete(path, headers=company.bearer)).status_code == 404
        body = {"query": QUESTION}
        found = await desk.client.post("/v1/knowledge/search", json=body, headers=company.bearer)
        assert found.json()["results"] == []

    async def test_the_same_upload_sent_twice_is_taken_once(self, desk):
        company = await desk.sign_up()
        headers = {**company.bearer, "Idempotency-Key": str(uuid4())}
        files = {"file": ("a.md", b"# One")}
        made = [
            await desk.client.post("/v1/knowledge/sources", files=files, headers=headers)
            for _ in range(2)
        ]
        assert made[0].json()["source_id"] == made[1].json()["source_id"]

    @pytest.mark.parametrize("field", ["max_pages", "max_depth"])
    async def test_that_are_texts_have_no_limits(self, desk: Desk, acme: Company, field: str):
        body = {"type": "text", "text": "Tea at four.", field: 3}
        refused = await desk.client.post("/v1/knowledge/sources", json=body, headers=acme.bearer)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == field
        assert "leave it out" in refused.json()["detail"]


class TestEvaluations:
    async def test_measure_own_knowledge_by_own_questions(self, desk, acme):
        path, headers = "/v1/knowledge/evaluations", acme.bearer
        pair = {"question": QUESTION, "documents": ["Returns and shipping"]}
        made = await desk.client.post(path, json={"questions": [pair]}, headers=headers)
        assert made.status_code == 201, made.text
        own = f"{path}/{made.json()['evaluation_id']}"

        async def ended() -> Any:
            found = (await desk.client.get(own, headers=headers)).json()
            return found if found["evaluation"]["state"] == "ended" else None

        found = await eventually(ended, timeout_s=30)
        arms = {figures["arm"]: figures for figures in found["evaluation"]["figures"]}
        assert list(arms) == ["bm25", "dense", "fused", "reranked"]
        assert arms["fused"]["ndcg_at_10"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
        asked = (await desk.client.get(f"{own}/questions?arm=bm25", headers=headers)).json()
        assert asked["items"][0]["found"][0]["title"] == "Returns and shipping"
        missed = await desk.client.get(f"{own}/questions?missed=true", headers=headers)
        assert missed.json()["items"] == []
        stopped = await desk.client.post(f"{own}/cancel", headers=headers)
        assert stopped.json()["state"] == "ended"
        assert (await desk.client.delete(own, headers=headers)).status_code == 204
        assert (await desk.client.get(own, headers=headers)).status_code == 404

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "questions"),
            ({"csv": "question,document\nHow?,Nothing\n"}, "row 2, column document"),
            ({"csv": "[]"}, "csv"),
            ({"questions": [{"question": "?", "documents": ["x"]}]}, "questions[0].documents[0]"),
        ],
    )
    async def test_what_is_wrong_is_named(self, desk, acme, body, field):
        path = "/v1/knowledge/evaluations"
        answer = await desk.client.post(path, json=body, headers=acme.bearer)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


class TestExperiments:
    async def test_arms_are_compared_by_what_became_of_their_turns(self, desk, acme):
        path, headers = "/v1/knowledge/experiments", acme.bearer
        body = {
            "name": "Rerank",
            "share_percent": 100,
            "rerank_model": "local/late-interaction",
            "fusion_version": "even",
        }
        wrong = await desk.client.post(path, json={**body, "fusion_version": "x"}, headers=headers)
        assert wrong.json()["errors"][0]["field"] == "fusion_version"
        made = await desk.client.post(path, json=body, headers=headers)
        assert made.status_code == 201, made.text
        own = f"{path}/{made.json()['experiment_id']}"
        conversation, visitor = await desk.begin(acme)
        await asked(desk, conversation, visitor, QUESTION)

        async def compared() -> Any:
            found = (await desk.client.get(f"{own}/figures", headers=headers)).json()
            cost = found["challenger"]["cost"]
            return found if cost and cost["mean_nanos"] else None

        found = await eventually(compared, timeout_s=30)
        challenger = found["challenger"]
        assert (challenger["turns"], found["control"]["turns"]) == (1, 0)
        assert challenger["answered"] == {"mean": 1.0, "low": None, "high": None}
        assert challenger["citations"]["mean"] >= 1
        assert found["difference"]["answered"] is None
        conversation, visitor = await desk.begin(acme)
        await asked(desk, conversation, visitor, QUESTION)
        share = await desk.client.put(f"{own}/share", json={"share_percent": 10}, headers=headers)
        assert share.json()["share_percent"] == 10
        # Nine in ten go as usual now.
        while found["control"]["conversations"] < 2:
            conversation, visitor = await desk.begin(acme)
            await asked(desk, conversation, visitor, QUESTION)
            await desk.caught_up(acme)
            found = (await desk.client.get(f"{own}/figures", headers=headers)).json()
        assert found["difference"]["answered"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
        shown = await desk.client.get("/knowledge/experiments", headers=await desk.sign_in(acme))
        assert "2 turns in 2 conversations" in shown.text
        assert "100.0 % (100.0 % to 100.0 %)" in shown.text
        assert "Too few conversations" not in shown.text
        stopped = await desk.client.post(f"{own}/stop", headers=headers)
        assert stopped.json()["running"] is False
        listed = (await desk.client.get(path, headers=headers)).json()
        assert [item["running"] for item in listed["items"]] == [False]


class TestOthers:
    async def test_another_tenants_knowledge_is_not_there(self, desk, acme):
        other = await desk.sign_up()
        sources = await desk.client.get("/v1/knowledge/sources", headers=acme.bearer)
        (source, *_) = sources.json()["items"]
        source_id, document_id = source["source_id"], source["document_id"]
        for method, path in (
            ("GET", f"/v1/knowledge/sources/{source_id}"),
            ("DELETE", f"/v1/knowledge/sources/{source_id}"),
            ("POST", f"/v1/knowledge/sources/{source_id}/sync"),
            ("GET", f"/v1/knowledge/documents/{document_id}"),
        ):
            answer = await desk.client.request(method, path, headers=other.bearer)
            assert answer.status_code == 404, path
        body = {"query": QUESTION}
        found = await desk.client.post("/v1/knowledge/search", json=body, headers=other.bearer)
        assert found.json()["results"] == []
        for path in ("sources", "documents"):
            listed = await desk.client.get(f"/v1/knowledge/{path}", headers=other.bearer)
            assert listed.json()["items"] == []
        conversation, visitor = await desk.begin(other)
        answer = (await answered(desk, conversation, visitor, QUESTION)).json()
        assert answer["outcome"] == "handoff"

    async def test_another_tenants_costs_are_not_told(self, desk):
        other = await desk.sign_up()
        path = "/v1/analytics/costs?group_by=conversation"
        costs = (await desk.client.get(path, headers=other.bearer)).json()
        assert costs == {"total_nanos": 0, "groups": []}


class TestPlans:
    async def test_public_plans_are_public(self, desk):
        plans = (await desk.client.get("/v1/billing/plans")).json()["items"]
        assert [plan["plan_id"] for plan in plans] == ["free", "professional", "enterprise"]

    async def test_a_new_tenant_has_a_subscription(self, desk, acme):
        found = await desk.client.get("/v1/billing/subscription", headers=acme.bearer)
        assert found.json()["plan_id"] == "development"
        assert found.json()["plan"]["api_calls_per_hour"] == -1

    async def test_a_used_up_allowance_ends_a_new_conversations_turn(self, desk):
        company = await desk.sign_up()
        await desk.teach(company, "Returns and shipping", RETURNS)
        going_on, visitor = await desk.begin(company)
        await answered(desk, going_on, visitor, QUESTION)
        await desk.caught_up(company)
        async with desk.services["billing"].db.tenant(company.tenant_id) as conn:
            await conn.execute("update subscription set plan_id = 'free'")
            await conn.execute(
                "insert into counted_conversation select %s, gen_random_uuid(),"
                " gen_random_uuid(), %s from generate_series(1, 24)",
                [company.tenant_id, desk.gateway.rt.clock.now()],
            )
        usage = (await desk.client.get("/v1/billing/usage", headers=company.bearer)).json()
        (unit,) = usage["units"]
        assert (unit["unit"], unit["quantity"], unit["allowance"], unit["share_used_millis"]) == (
            "answered_conversation",
            25,
            25,
            1000,
        )
        again = (await answered(desk, going_on, visitor, QUESTION)).json()
        assert again["outcome"] == "answered"
        conversation, newcomer = await desk.begin(company)
        refused = (await answered(desk, conversation, newcomer, QUESTION)).json()
        assert (refused["outcome"], refused["handoff_reason"]) == ("handoff", "usage_limit")

    async def test_calls_of_keys_are_limited_by_plan_and_pages_are_not(self, desk):
        company = await desk.sign_up()
        billing = desk.services["billing"]
        async with billing.db.tenant(company.tenant_id) as conn:
            await conn.execute("update subscription set plan_id = 'free'")
        desk.parts.plan_limits._fresh.clear()
        person = await desk.sign_in(company)
        answers = [await desk.client.get("/v1/me", headers=company.bearer) for _ in range(51)]
        assert [answer.status_code for answer in answers] == [200] * 50 + [429]
        answer = answers[-1]
        assert answer.headers["ratelimit-policy"] == '"api-calls";q=50;w=3600'
        assert int(answer.headers["retry-after"]) > 0
        second = await desk.client.get("/v1/agents", headers=company.bearer)
        assert second.status_code == 429
        assert (await desk.client.get("/v1/me", headers=person)).status_code == 200


class TestPricesOfModels:
    async def test_own_prices_are_set_listed_audited_and_cleared(self, desk, acme):
        path, model = "/v1/costs/prices", "local/extractive"

        async def listed(company: Any) -> Any:
            found = (await desk.client.get(path, headers=company.bearer)).json()
            return next(item for item in found["items"] if item["model"] == model)

        assert not (await listed(acme))["is_own"]
        tiers = [{"above_prompt_tokens": 0, "prices": {"compute_us": 20_000}}]
        body = {"model": model, "tiers": tiers}
        viewer = await desk.key(acme, "viewer", "*")
        assert (await desk.client.put(path, json=body, headers=viewer)).status_code == 403
        made = await desk.client.put(path, json=body, headers=acme.bearer)
        assert made.status_code == 200, made.text
        assert (made.json()["tiers"], made.json()["is_own"]) == (tiers, True)
        assert await listed(acme) == made.json()
        assert not (await listed(await desk.sign_up()))["is_own"]
        gone = await desk.client.delete(path, params={"model": model}, headers=acme.bearer)
        assert gone.status_code == 204
        assert (await listed(acme))["tiers"] == made.json()["book_tiers"]
        log = (await desk.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
        assert [(line["action"], line["target"]) for line in log[:2]] == [
            ("model_prices.cleared", model),
            ("model_prices.set", model),
        ]

    async def test_how_models_fare_is_told(self, desk, acme):
        found = (await desk.client.get("/v1/models/health", headers=acme.bearer)).json()["items"]
        fares = {item["model"]: item for item in found}["local/extractive"]
        assert (fares["circuit"], fares["failures"]) == ("closed", 0)
        assert fares["last_success_time"] is not None

    async def test_what_is_wrong_is_named(self, desk, acme):
        body = {
            "model": "local/extractive",
            "tiers": [{"above_prompt_tokens": 0, "prices": {"input_token": 1}}],
        }
        answer = await desk.client.put("/v1/costs/prices", json=body, headers=acme.bearer)
        assert answer.status_code == 400
        assert "compute_us" in answer.json()["detail"]


class TestKeysAtProviders:
    async def test_only_admins_set_them_and_what_is_wrong_is_named(self, desk, acme):
        path, body = "/v1/settings/provider-keys", {"provider": "anthropic", "api_key": "sk-a-key"}
        found = (await desk.client.get(path, headers=acme.bearer)).json()
        providers = ["anthropic", "cohere", "gemini", "openai", "voyage"]
        assert (found["items"], found["providers"]) == ([], providers)
        viewer = await desk.key(acme, "viewer", "*")
        assert (await desk.client.put(path, json=body, headers=viewer)).status_code == 403
        which = {"params": {"provider": "anthropic"}}
        assert (await desk.client.delete(path, headers=viewer, **which)).status_code == 403
        wrong = {**body, "provider": "nobody"}
        answer = await desk.client.put(path, json=wrong, headers=acme.bearer)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "provider")
        assert (await desk.client.delete(path, headers=acme.bearer, **which)).status_code == 204
        log = (await desk.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
        assert (log[0]["action"], log[0]["target"]) == ("provider_key.deleted", "anthropic")


class TestBudgets:
    BODY: ClassVar = {"level": "tenant", "period": "day", "limit_nanos": 10**9, "hard": True}

    async def test_one_from_its_making_to_its_end(self, desk, acme):
        path = "/v1/costs/budgets"
        key = {**acme.bearer, "Idempotency-Key": "a budget"}
        made = await desk.client.post(path, json=self.BODY, headers=key)
        assert made.status_code == 201, made.text
        assert (await desk.client.post(path, json=self.BODY, headers=key)).json() == made.json()
        other = await desk.client.post(path, json={**self.BODY, "hard": False}, headers=key)
        assert other.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"
        second = await desk.client.post(path, json=self.BODY, headers=acme.bearer)
        assert (second.status_code, second.json()["reason"]) == (409, "ALREADY_EXISTS")
        conversation, visitor = await desk.begin(acme)
        await answered(desk, conversation, visitor, QUESTION)
        one = f"{path}/{made.json()['budget_id']}"
        status = (await desk.client.get(one, headers=acme.bearer)).json()
        (window,) = status["windows"]
        assert window["spent_nanos"] > 0
        assert window["left_nanos"] == 10**9 - window["spent_nanos"] - window["reserved_nanos"]
        assert (window["warned_percent"], window["target_id"]) == (0, None)
        wanted = {**self.BODY, "limit_nanos": window["spent_nanos"]}
        changed = await desk.client.put(one, json=wanted, headers=acme.bearer)
        assert changed.json()["limit_nanos"] == window["spent_nanos"]
        elsewhere = {"period": "month", "level": "agent", "target_id": str(uuid4()), "name": "x"}
        for field, value in elsewhere.items():
            other = {"limit_nanos": 10**9, "hard": True, field: value}
            wrong = await desk.client.put(one, json=other, headers=acme.bearer)
            assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, field)
        conversation, visitor = await desk.begin(acme)
        refused = (await answered(desk, conversation, visitor, QUESTION)).json()
        assert (refused["outcome"], refused["handoff_reason"]) == ("handoff", "usage_limit")
        listed = (await desk.client.get(path, headers=acme.bearer)).json()
        assert listed["items"][0]["windows"][0]["refuse_time"] is not None
        stranger = await desk.sign_up()
        assert not (await desk.client.get(path, headers=stranger.bearer)).json()["items"]
        for method, body in (("GET", None), ("PUT", {"limit_nanos": 1, "hard": True})):
            theirs = await desk.client.request(method, one, json=body, headers=stranger.bearer)
            assert theirs.status_code == 404
        assert (await desk.client.delete(one, headers=stranger.bearer)).status_code == 404
        assert (await desk.client.delete(one, headers=acme.bearer)).status_code == 204
        assert (await desk.client.delete(one, headers=acme.bearer)).status_code == 404
        log = (await desk.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
        assert [line["action"] for line in log[:3]] == [
            "budget.deleted",
            "budget.changed",
            "budget.created",
        ]

    async def test_days_begin_in_the_tenants_time_zone(self, desk):
        company = await desk.sign_up()
        path = "/v1/costs/time-zone"
        assert (await desk.client.get(path, headers=company.bearer)).json() == {"time_zone": "UTC"}
        await desk.client.post("/v1/costs/budgets", json=self.BODY, headers=company.bearer)
        for name in ("Mars/Olympus", "localtime"):
            answer = await desk.client.put(path, json={"time_zone": name}, headers=company.bearer)
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["field"] == "time_zone"
        kolkata = {"time_zone": "Asia/Kolkata"}
        answer = await desk.client.put(path, json=kolkata, headers=company.bearer)
        assert (answer.status_code, answer.json()) == (200, kolkata)
        assert (await desk.client.get(path, headers=company.bearer)).json() == kolkata
        found = (await desk.client.get("/v1/costs/budgets", headers=company.bearer)).json()
        assert found["time_zone"] == "Asia/Kolkata"
        assert found["items"][0]["windows"][0]["start_time"].endswith("18:30:00Z")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"limit_nanos": 0}, "limit_nanos"),
            ({"level": "planet"}, "level"),
            ({"period": "year"}, "period"),
            ({"target_id": str(uuid4())}, "target_id"),
        ],
    )
    async def test_what_is_wrong_is_named(self, desk, acme, change, field):
        body = {**self.BODY, **change}
        answer = await desk.client.post("/v1/costs/budgets", json=body, headers=acme.bearer)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


class TestExport:
    async def test_the_file_is_the_ledger(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        await answered(desk, conversation, visitor, QUESTION)
        await desk.caught_up(acme)
        costs = await desk.client.get("/v1/analytics/costs?group_by=purpose", headers=acme.bearer)
        path = "/v1/costs/export"
        plain = await desk.client.get(path, headers=acme.bearer)
        assert plain.headers["content-type"].startswith("text/csv")
        assert (
            plain.headers["content-disposition"] == 'attachment; filename="fleetdesk-costs-csv.csv"'
        )
        rows = list(csv.DictReader(io.StringIO(plain.text, newline="")))
        assert sum(int(row["amount_nanos"]) for row in rows) == costs.json()["total_nanos"]
        times = {"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00+01:00"}
        person = await desk.sign_in(acme)
        focus = await desk.client.get(path, params={"format": "focus", **times}, headers=person)
        name = "fleetdesk-costs-focus-from-2026-01-01-to-2026-12-31.csv"
        assert name in focus.headers["content-disposition"]
        billed = [row["BilledCost"] for row in csv.DictReader(io.StringIO(focus.text, newline=""))]
        assert sum(map(Decimal, billed)) * 10**9 == costs.json()["total_nanos"]
        stranger = await desk.sign_up()
        theirs = await desk.client.get(path, headers=stranger.bearer)
        assert len(theirs.text.splitlines()) == 1

    async def test_it_comes_in_pieces_to_its_end(self, desk):
        company = await desk.sign_up()
        await desk.teach(company, "Returns and shipping", RETURNS)
        await desk.services["llm-gateway"].rows(
            "with more as (insert into usage_entry (usage_id, tenant_id, call_id, create_time,"
            "  status, service, provider, model, kind, purpose, units, price_nanos_per_million,"
            "  price_book_version, amount_nanos)"
            " select gen_random_uuid(), tenant_id, call_id, create_time, status, service,"
            "  provider, model, kind || n, purpose, units, price_nanos_per_million,"
            "  price_book_version, amount_nanos from (select * from usage_entry"
            "   where tenant_id = %s limit 1) one, generate_series(1, 3500) n returning 1)"
            " select count(*) from more",
            company.tenant_id,
        )
        async with desk.client.stream("GET", "/v1/costs/export", headers=company.bearer) as answer:
            assert "content-length" not in answer.headers
            lines = [line async for line in answer.aiter_lines()]
        (row,) = await desk.services["llm-gateway"].rows(
            "select count(*) as n from usage_entry where tenant_id = %s", company.tenant_id
        )
        assert len(lines) == row["n"] + 1 > 3500

    async def test_needs_a_period(self, desk, acme):
        for query, field in (
            ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
            ("from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
            ("format=xlsx", "format"),
        ):
            answer = await desk.client.get(f"/v1/costs/export?{query}", headers=acme.bearer)
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["field"] == field
