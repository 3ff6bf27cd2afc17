"""What the pages say: pure functions from protos to words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fleetdesk.analytics.v1.analytics_service_pb2 import GetKpisResponse
from fleetdesk.analytics.v1.cost_pb2 import CostGroup
from fleetdesk.analytics.v1.kpi_pb2 import ConversationCounts, Kpis, KpiTargets, Percentiles
from fleetdesk.conversation.v1 import agent_service_pb2 as agents
from fleetdesk.conversation.v1 import conversation_pb2 as conv
from fleetdesk.conversation.v1.agent_pb2 import Agent, AgentConfig, Preset, PresetSettings
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as models
from fleetdesk.llm_gateway.v1 import usage_pb2 as usage
from fleetdesk.retrieval.v1 import conflict_pb2 as conflict
from fleetdesk.retrieval.v1 import document_pb2 as doc
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as retrieval
from fleetdesk.retrieval.v1.index_pb2 import KnowledgeIndex
from fleetkit.errors import InvalidArgument
from gateway.routes.pages.showing import own_path
from gateway.shapes import agents as agent_shapes
from gateway.views import (
    conflicts,
    conversations,
    costs,
    document,
    embedding,
    home,
    knowledge,
    manners,
    past_questions,
    search,
    transcript,
    websites,
)
from gateway.views.answer_html import answer_html, plain_html
from gateway.views.format import count, money, percent, price_per_million, sentence, size, when
from gateway.views.forms import Form
from gateway.views.receipt import receipt_tree
from gateway.views.tables import to_csv
from google.protobuf.timestamp_pb2 import Timestamp

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class TestMoney:
    @pytest.mark.parametrize(
        ("nanos", "short", "exact"),
        [
            (0, "$0.00", "$0.000000000"),
            (184_210, "<$0.01", "$0.000184210"),
            (5_000_000, "$0.00", "$0.005000000"),
            (15_000_000, "$0.02", "$0.015000000"),
            (1_234_567_890_000_000, "$1,234,567.89", "$1,234,567.890000000"),
            (-20_000_000, "−$0.02", "−$0.020000000"),
        ],
    )
    def test_is_short_in_lists_and_exact_on_demand(
        self, nanos: int, short: str, exact: str
    ) -> None:
        assert (money(nanos).short, money(nanos).exact) == (short, exact)

    def test_shows_prices_without_needless_digits(self) -> None:
        assert price_per_million(1_000_000_000) == "$1.00"
        assert price_per_million(12_500_000) == "$0.0125"
        assert price_per_million(10_000) == "$0.00001"


class TestWords:
    def test_shares_are_never_rounded_to_certainty(self) -> None:
        assert [percent(share) for share in (0, 0.001, 0.504, 0.9999, 1)] == [
            "0 %",
            "<1 %",
            "50 %",
            "99 %",
            "100 %",
        ]

    def test_times_are_relative_and_absolute(self) -> None:
        ages = (
            timedelta(seconds=3),
            timedelta(minutes=5),
            timedelta(hours=3),
            timedelta(days=1),
            timedelta(days=90),
        )
        said = [when(NOW - age, NOW).ago for age in ages]
        assert said == ["just now", "5 min. ago", "3 hr. ago", "1 day ago", "24 Aug 2026"]
        assert when(NOW, NOW).full == "22 November 2026, 12:00:00 UTC"
        assert when(NOW, NOW).iso == "2026-11-22T12:00:00Z"

    def test_counts_and_sizes_have_units(self) -> None:
        assert count(1, "document") == "1 document"
        assert count(1_204, "document") == "1,204 documents"
        assert [size(n) for n in (0, 999, 1_500, 2_400_000)] == ["0 B", "999 B", "1.5 kB", "2.4 MB"]

    def test_messages_become_sentences(self) -> None:
        assert sentence("the file is empty: choose another") == "The file is empty: choose another."
        assert sentence("Really?") == "Really?"
        assert sentence("time_zone is not known") == "Time zone is not known."

    def test_csv_is_no_formula(self) -> None:
        assert to_csv(("a",), [("=1+1",), (-3,), ('say "hi"',)]) == (
            'a\r\n\'=1+1\r\n-3\r\n"say ""hi"""\r\n'
        )


class TestOwnPath:
    @pytest.mark.parametrize(
        "path",
        [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "%2F%2Fevil.example",
            "/%2Fevil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
            "",
        ],
    )
    def test_never_leads_elsewhere(self, path: str) -> None:
        assert own_path(path) == "/"

    def test_keeps_a_page_of_ours(self) -> None:
        assert own_path("/conversations?outcome=handoff") == "/conversations?outcome=handoff"


class TestForm:
    def test_puts_an_error_at_its_field_and_keeps_what_was_typed(self) -> None:
        error = InvalidArgument("email is no address: check it", field="email")
        form = Form({"email": "x"}).refused(error, ("email",))
        assert form.errors == {"email": "Email is no address: check it."}
        assert form["email"] == "x"
        assert Form().refused(error, ("name",)).problem == "Email is no address: check it."


class TestAnswerHtml:
    def answer(self, text: str, *ends: int) -> str:
        citations = [
            conv.MessageCitation(chunk_id=f"c{n}", title='A "b" <c>', answer_end=end)
            for n, end in enumerate(ends, start=1)
        ]
        return str(answer_html(conv.Message(text=text, citations=citations), "/x?answer=1"))

    def test_puts_footnotes_behind_what_they_prove(self) -> None:
        html = self.answer("Ünö. Two.", 4, 9)
        assert html.index("Ünö.<a") < html.index("Two.<a")
        assert 'href="/x?answer=1#passage-c1"' in html
        assert "A &#34;b&#34; &lt;c&gt;" in html

    @pytest.mark.parametrize(
        "text",
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[a](javascript:alert(1))",
            "![a](https://x.example/pixel.png)",
            "<a href='x' style='color:red' onclick='x'>a</a>",
        ],
    )
    def test_lets_nothing_through_that_runs_or_loads(self, text: str) -> None:
        html = self.answer(text)
        for bad in ("<script", "<img", 'href="javascript', "<a href='x'", 'onclick="', 'style="'):
            assert bad not in html

    def test_cannot_be_fooled_by_marks_in_the_text(self) -> None:
        assert "passage-c1" not in self.answer("a\ue001b")
        assert self.answer("a\ue001b", 3).count("passage-c1") == 1

    def test_has_no_heading_above_the_page_s_own(self) -> None:
        assert "<h1" not in self.answer("# Big\n\n## Less")
        assert "<h2" not in self.answer("## Less")

    def test_shows_a_question_as_it_was_typed(self) -> None:
        assert plain_html("a <b>\n**c**") == "a &lt;b&gt;<br>**c**"


class TestReceipt:
    def test_is_a_tree_of_services_models_and_units(self) -> None:
        def row(service: str, model: str, kind: str, amount: int) -> usage.UsageEntry:
            return usage.UsageEntry(
                service=service,
                provider="p",
                model=model,
                kind=kind,
                units=1_204,
                price_nanos_per_million=1_000_000_000,
                amount_nanos=amount,
            )

        rows = [
            row("retrieval", "e", "compute_us", 5),
            row("conversation", "m", "input_token", 7),
            row("retrieval", "e", "compute_us", 1),
            row("conversation", "m", "output_token", 11),
        ]
        tree = receipt_tree(usage.Receipt(total_nanos=24, items=rows))
        assert [(service.name, service.amount.nanos) for service in tree.services] == [
            ("retrieval", 6),
            ("conversation", 18),
        ]
        assert tree.services[1].models[0].name == "p/m"
        lines = [line.how for line in tree.services[1].models[0].lines]
        assert lines[0] == "1,204 input tokens × $1.00 a million"
        assert tree.total.nanos == 24
        assert not tree.unconfirmed


class TestDocument:
    def test_is_cut_at_the_edges_of_passage_and_quote(self) -> None:
        pieces = document.segments("0123456789", document.Span(2, 8), document.Span(4, 6))
        assert [(piece.text, piece.passage, piece.quote) for piece in pieces] == [
            ("01", False, False),
            ("23", True, False),
            ("45", True, True),
            ("67", True, False),
            ("89", False, False),
        ]

    @pytest.mark.parametrize("span", [(-5, 99), (8, 2), (50, 60)])
    def test_bears_spans_that_make_no_sense(self, span: tuple[int, int]) -> None:
        pieces = document.segments("0123", None, document.Span(*span))
        assert "".join(piece.text for piece in pieces) == "0123"

    def test_says_when_the_passage_is_gone(self) -> None:
        page = document.document_page(doc.Document(text="a"), NOW, None, None, chunk_asked=True)
        assert page.lost
        assert not page.marked

    def test_counts_a_quote_from_the_beginning_of_its_passage(self) -> None:
        chunk = doc.SearchResult(start=3, end=9)
        found = document.document_page(
            doc.Document(text="0123456789"), NOW, chunk, document.Span(1, 3), chunk_asked=True
        )
        assert [piece.text for piece in found.segments if piece.quote] == ["45"]


class TestExcerpt:
    def test_shows_quotes_with_some_text_around(self) -> None:
        text = "a" * 400 + "QUOTE" + "b" * 400
        pieces = transcript.excerpt(text, [(400, 405)])
        assert [piece.text for piece in pieces if piece.quote] == ["QUOTE"]
        assert "".join(piece.text for piece in pieces) == f"…{'a' * 180}QUOTE{'b' * 180}…"

    def test_bears_quotes_that_overlap(self) -> None:
        pieces = transcript.excerpt("0123456789", [(2, 6), (4, 8), (3, 5)])
        assert "".join(piece.text for piece in pieces) == "0123456789"


class TestSearch:
    THRESHOLDS = search.Thresholds("Ada", 0.5, 0.3)

    @pytest.mark.parametrize(
        ("relevance", "word"),
        [(0.5, "Would answer"), (0.4, "Would ask back or hand over"), (0.29, "Would hand over")],
    )
    def test_says_what_the_agent_would_do(self, relevance: float, word: str) -> None:
        verdict = search.verdict(relevance, self.THRESHOLDS, found=True)
        assert verdict.badge.label == word
        assert "Ada" in verdict.sentence

    def test_takes_the_agent_that_is_asked_for_or_the_oldest_published_one(self) -> None:
        found = agents.ListAgentsResponse(
            agents=[
                Agent(agent_id="a"),
                Agent(agent_id="b", published=AgentConfig(name="Ben", answer_threshold_millis=700)),
                Agent(agent_id="c", published=AgentConfig(name="Cleo")),
            ],
            default_answer_threshold_millis=500,
            default_handoff_threshold_millis=300,
        )
        for asked, name in (("c", "Cleo"), ("b", "Ben"), ("a", "Ben"), ("", "Ben")):
            thresholds = search.thresholds_of(found, asked)
            assert thresholds is not None
            assert thresholds.agent_name == name
            assert thresholds.agents == (("b", "Ben"), ("c", "Cleo"))
        assert search.thresholds_of(agents.ListAgentsResponse()) is None

    def test_says_how_far_each_stage_moved_a_passage(self) -> None:
        scores = doc.Scores(dense=0.7, dense_rank=3, fused=0.9, fused_rank=2, rerank=4.5)
        response = retrieval.SearchResponse(
            relevance=0.8,
            results=[doc.SearchResult(chunk_id="c", score=0.9, scores=scores)],
            reranked=True,
        )
        stages = search.search_lab("q", response, self.THRESHOLDS).hits[0].stages
        assert [(stage.label, stage.score, stage.rank, stage.move) for stage in stages] == [
            ("BM25", "not found", None, 0),
            ("Dense", "0.700", 3, 1),
            ("Fused", "0.900", 2, 1),
            ("Reranked", "4.500", 1, 0),
        ]
        response.reranked, response.rerank_reason = False, "RERANK_TIMEOUT"
        lab = search.search_lab("q", response, self.THRESHOLDS)
        assert lab.hits[0].stages[-1].score == "off"
        assert "too slow" in lab.notice

    def test_judges_by_the_threshold_that_the_slider_has(self) -> None:
        response = retrieval.SearchResponse(relevance=0.6, results=[doc.SearchResult()])
        for threshold, word in ((None, "answer"), (60, "answer"), (61, "ask back"), (0, "answer")):
            knobs = search.Knobs(threshold=threshold)
            lab = search.search_lab("q", response, self.THRESHOLDS, knobs)
            assert lab.verdict is not None
            assert word in lab.verdict.badge.label
            assert lab.threshold == (50 if threshold is None else threshold)
            assert lab.own_threshold == 50


class TestConflicts:
    def test_names_both_places_and_in_what_they_differ(self) -> None:
        pair = conflict.Conflict(
            kind=conflict.CONFLICT_KIND_CONTRADICTION,
            reason="NUMBERS",
            one=conflict.ConflictSide(
                document_id="d", chunk_id="c", title="Returns", text="30 days.", start=3, end=11
            ),
            other=conflict.ConflictSide(document_id="e", text="14 days."),
        )
        found = retrieval.ListConflictsResponse(conflicts=[pair], open_count=1, dismissed_count=2)
        page = conflicts.conflicts_page(found, NOW, kind="", page_token="")
        assert page.headline == (
            "One pair of places disagrees or repeats itself. 2 more were dismissed."
        )
        (row,) = page.rows
        assert (row.badge.label, row.reason) == ("Contradiction", "Different numbers")
        assert row.sides[0].href == "/documents/d?chunk=c&start=3&end=11#quote"
        assert [side.title for side in row.sides] == ["Returns", "Untitled"]
        assert [tab.current for tab in page.tabs] == [True, False, False, False]
        assert [tab.count for tab in page.tabs] == [1, None, None, 2]


class TestManners:
    MANNERS = manners.manners_of(
        [
            PresetSettings(
                preset=Preset.Value(f"PRESET_{name.upper()}"),
                max_tokens=tokens,
                temperature_millis=millis,
                instructions=words,
            )
            for name, tokens, millis, words in (
                ("custom", 1024, 300, ""),
                ("technical", 1536, 100, "For engineers."),
                ("professional", 512, 200, "Formally."),
                ("friendly", 1024, 500, "Warmly."),
            )
        ]
    )

    def settled(self, before: str, sent: str) -> str:
        """Drafts as "preset tokens millis own words"."""

        def config(text: str) -> agent_shapes.AgentConfig:
            preset, tokens, millis, words = text.split(" ", 3)
            return agent_shapes.AgentConfig(
                "Kim",
                preset=preset,  # pyright: ignore[reportArgumentType]
                max_tokens=int(tokens),
                temperature_millis=int(millis),
                instructions=words,
            )

        made = manners.settled(config(sent), config(before), self.MANNERS)
        return f"{made.preset} {made.max_tokens} {made.temperature_millis} {made.instructions}"

    @pytest.mark.parametrize(
        ("before", "sent", "made"),
        [
            ("friendly 1024 500 Hi.", "technical 1024 500 Hi.", "technical 1536 100 Hi."),
            ("friendly 1024 500 Hi.", "technical 1536 100 Hi.", "technical 1536 100 Hi."),
            ("friendly 1024 500 Hi.", "friendly 900 500 Hi.", "custom 900 500 Warmly.\n\nHi."),
            ("friendly 1024 500 ", "technical 1536 0 ", "custom 1536 0 For engineers."),
            ("custom 9 9 Warmly.\n\nHi.", "technical 9 9 Warmly.\n\nHi.", "technical 1536 100 Hi."),
            ("friendly 0 0 Hi.", "friendly 0 0 Bye.", "friendly 0 0 Bye."),
            ("friendly 0 0 Hi.", "friendly 1024 500 Hi.", "friendly 1024 500 Hi."),
            ("friendly 1024 500 Hi.", "custom 700 900 Hi.", "custom 700 900 Hi."),
        ],
        ids=[
            "chosen: filled in",
            "chosen and filled in by the script",
            "changed by hand: Custom, in the same words",
            "chosen and changed by hand",
            "chosen again: the words before go",
            "neither chosen nor changed",
            "changed to what it means",
            "Custom: as sent",
        ],
    )
    def test_a_choice_fills_in_what_it_means(self, before: str, sent: str, made: str) -> None:
        assert self.settled(before, sent) == made

    def test_a_new_agent_is_friendly_with_what_that_means(self) -> None:
        made = manners.begun("Kim", self.MANNERS)
        assert (made.preset, made.max_tokens, made.temperature_millis) == ("friendly", 1024, 500)
        assert [each.value for each in self.MANNERS] == list(manners.SAMPLES)


class TestPastQuestions:
    def test_says_what_another_threshold_would_have_made_of_them(self) -> None:
        now = agents.DecisionCounts(answered=60, clarified=10, handed_over=30)
        then = agents.DecisionCounts(answered=75, clarified=5, handed_over=20)
        changed = agents.ChangedDecision(
            conversation_id="c",
            message_id="m",
            question="Why?",
            relevance=0.45,
            now=conv.OUTCOME_HANDOFF,
            then=conv.OUTCOME_ANSWERED,
        )
        trial = agents.TryThresholdsResponse(
            now=now, then=then, changed=[changed], changed_count=20
        )
        found = past_questions.past_questions(trial, NOW)
        assert found.sentence == (
            "Of the last 100 questions, 75 would be answered, 5 asked back and 20 handed over."
            " 20 questions would come to something else than now."
        )
        assert [row.change for row in found.outcomes] == ["+15", "−5", "−10"]
        (row,) = found.changed
        assert (row.href, row.relevance) == ("/conversations/c?answer=m", "45 %")
        assert row.now is not None
        assert row.now.label == "Handed over"

    def test_has_nothing_to_say_before_the_first(self) -> None:
        assert not past_questions.past_questions(agents.TryThresholdsResponse(), NOW).outcomes


class TestEmbedding:
    PRICES = (
        models.ModelPrice(
            model="voyage/v",
            serves="embed",
            tiers=[models.PriceTier(prices={"embedding_token": 60_000_000})],
        ),
        models.ModelPrice(
            model="local/m",
            serves="embed",
            tiers=[models.PriceTier(prices={"compute_us": 10_000})],
            is_configured=True,
        ),
        models.ModelPrice(model="voyage/r", serves="rerank"),
    )

    def index(self, **fields: Any) -> KnowledgeIndex:
        fields = {"serving_model": "local/m@1", "embedded_count": 2_000, **fields}
        return KnowledgeIndex(
            default_model="local/m",
            chunk_count=2_000,
            passage_tokens=100,
            passage_us={"local/m": 60_000},
            **fields,
        )

    def test_tells_what_a_change_takes_from_passages_and_prices(self) -> None:
        page = embedding.embedding_page(self.index(), self.PRICES, NOW)
        local, voyage = page.choices
        assert (local.badge.label, local.embed_model, local.href) == ("In use", "", "")
        # 2,000 passages of 60 ms, at 10 nano-dollars a millisecond.
        assert local.cost is not None
        assert (local.cost.nanos, local.takes) == (1_200_000, "2 minutes")
        # 2,000 passages of 100 tokens, at six cents a million.
        assert voyage.cost is not None
        assert (voyage.cost.nanos, voyage.takes) == (12_000_000, "")
        assert (voyage.badge.label, voyage.href) == ("Not set up", "")
        assert page.change is None

    def test_says_how_far_a_change_is_and_how_long_it_may_take(self) -> None:
        index = self.index(changing=True, target_model="voyage/v@1", embedded_count=500)
        index.begin_time.FromDatetime(NOW - timedelta(minutes=2))
        page = embedding.embedding_page(index, self.PRICES, NOW)
        assert page.progress.steps[0].text == "500 of 2,000 passages"
        assert page.progress.spoken == "A quarter is done."
        assert page.change is not None
        assert "by voyage/v, about 6 minutes left. Searches go on with local/m" in (
            page.change.sentence
        )
        index.error_reason = "BUDGET_EXHAUSTED"
        page = embedding.embedding_page(index, self.PRICES, NOW)
        assert page.change is not None
        assert "used up. Nothing is lost" in page.change.error


class TestKnowledge:
    def listed(self, **counts: int) -> str:
        found = {
            doc.DocumentStatus.Value(f"DOCUMENT_STATUS_{name.upper()}"): number
            for name, number in counts.items()
        }
        return knowledge.headline(found)

    def test_says_in_a_sentence_what_can_be_found(self) -> None:
        assert self.listed(ready=1) == "1 document can be found."
        assert self.listed(ready=410, queued=2, parsing=1, failed=3) == (
            "410 documents can be found, 3 are being read, 3 could not be read."
        )
        assert "Nothing yet" in self.listed()

    def test_tells_progress_in_steps_for_the_eye_and_quarters_for_the_ear(self) -> None:
        site = doc.Site(running=True, found_count=120, visited_count=84, ready_count=59)
        site.pending_count, site.failed_count = 40, 1
        source = doc.Source(site=site, embedded_count=1_204, passage_count=1_310)
        found = websites.website_view(source, retrieval.ListDocumentsResponse(), NOW, "")
        assert [step.text for step in found.progress.steps] == [
            "84 of 120 pages",
            "60 of 100 documents",
            "1,204 of 1,310 passages",
        ]
        assert found.progress.spoken == "Half is done."
        site.running, site.pending_count = False, 0
        source.site.CopyFrom(site)
        found = websites.website_view(source, retrieval.ListDocumentsResponse(), NOW, "")
        assert found.progress.spoken == found.headline

    def test_asks_for_the_name_or_its_first_words(self) -> None:
        assert knowledge.confirmation("Returns") == "Returns"
        assert knowledge.confirmation("Warranty: what it covers and for how long") == (
            "Warranty: what it covers"
        )
        assert knowledge.confirmation("   ")
        assert knowledge.is_confirmed("Warranty: what", "  warranty:  WHAT ")
        assert not knowledge.is_confirmed("Warranty: what", "")


class TestCosts:
    def test_has_a_bar_for_every_day_and_few_series(self) -> None:
        groups = [
            CostGroup(key="2026-11-02", split_key=f"m{n}", amount_nanos=100 - n) for n in range(12)
        ]
        start = datetime(2026, 11, 1, tzinfo=UTC).date()
        found = costs.stack(groups, start, start + timedelta(days=2))
        assert [day.day for day in found.days] == ["2026-11-01", "2026-11-02", "2026-11-03"]
        assert found.series == (*(f"m{n}" for n in range(7)), "Other")
        assert found.days[1].total.nanos == sum(group.amount_nanos for group in groups)
        assert [day.total.nanos for day in found.days] == [0, found.days[1].total.nanos, 0]

    def test_says_in_a_sentence_what_was_spent(self) -> None:
        groups = [
            CostGroup(key="c1", amount_nanos=30_000_000),
            CostGroup(key="", amount_nanos=10_000_000),
        ]
        assert costs.headline(10_000_000, 40_000_000, groups, 0) == (
            "$0.01 today, $0.04 this month: 1 conversation at $0.03 each on average,"
            " the rest for reading documents."
        )
        assert costs.headline(0, 0, [], 0).startswith("Nothing spent")
        # Of a hundred thousand conversations the largest are listed; the mean is of all.
        assert "10,001 conversations at $0.02 each" in costs.headline(
            10_000_000, 200_030_000_000, groups, 10_000
        )

    def test_says_who_is_paid_once_there_is_a_key_of_ones_own(self) -> None:
        groups = [
            CostGroup(key="anthropic/a", amount_nanos=70, direct_nanos=50),
            CostGroup(key="anthropic/b", amount_nanos=5, direct_nanos=5),
            CostGroup(key="voyage/c", amount_nanos=9, direct_nanos=9),
            CostGroup(key="local/d", amount_nanos=1),
        ]
        paid = [(each.whom, each.amount.nanos) for each in costs.paid_to(groups)]
        assert paid == [
            ("Through Fleetdesk", 21),
            ("Directly to Anthropic", 55),
            ("Directly to Voyage AI", 9),
        ]
        assert costs.paid_to(groups[-1:]) == ()

    def test_links_keep_what_else_was_asked(self) -> None:
        asked = costs.Asked(range="7d", by="service", exact=True)
        assert asked.href(by="") == "/costs?range=7d&exact=1"
        assert costs.Asked().href(range="7d") == "/costs?range=7d"

    def test_a_day_is_a_day_of_the_calendar_up_to_today(self) -> None:
        now = datetime(2026, 11, 22, 5, tzinfo=UTC)
        assert costs.day_asked("2026-11-22", now) == now.date()
        for text in ("", "2026-11-23", "2019-01-01", "today", "2026-02-30", "9999-99-99"):
            assert costs.day_asked(text, now) is None
        start, end = costs.period_of(costs.Asked(day=now.date()), now)
        assert (start.hour, end - start) == (0, timedelta(days=1))

    def test_agents_are_named(self) -> None:
        groups = [CostGroup(key="2026-11-02", split_key=key, amount_nanos=1) for key in ("a", "")]
        day = datetime(2026, 11, 2, tzinfo=UTC).date()
        found = costs.stack(groups, day, day, costs.Asked(), {"a": "Ada", "": "No agent"})
        assert found.series == ("Ada", "No agent")


class TestHome:
    def kpis(self, total: int, alone: int = 0, handed: int = 0, **fields: Any) -> Kpis:
        counts = ConversationCounts(total=total, answered_alone=alone, handed_over=handed)
        return Kpis(conversations=counts, **fields)

    @pytest.mark.parametrize(
        ("now", "before", "said"),
        [
            (
                (100, 61, 9),
                (50, 29, 3),
                (
                    "61 % of 100 conversations answered without a person in the last 7 days,"
                    " up 3 points; 9 handed over."
                ),
            ),
            (
                (1, 1, 0),
                (0, 0, 0),
                (
                    "100 % of 1 conversation answered without a person in the last 7 days;"
                    " none handed over."
                ),
            ),
            (
                (0, 0, 0),
                (12, 6, 6),
                "No conversation in the last 7 days; 12 conversations in the 7 before.",
            ),
        ],
    )
    def test_says_how_it_is_going(
        self, now: tuple[int, ...], before: tuple[int, ...], said: str
    ) -> None:
        assert home.headline(self.kpis(*now), self.kpis(*before), 7) == said

    def page(self, current: Kpis, previous: Kpis) -> dict[str, home.Card]:
        targets = KpiTargets(
            conversations_per_week=50,
            answered_alone_millis=600,
            handed_over_millis=250,
            first_token_p95_ms=1_000,
            per_conversation_nanos=100_000_000,
        )
        found = GetKpisResponse(current=current, previous=previous, targets=targets)
        return {card.label: card for card in home.home_page(found, "7d").cards}

    def test_shows_change_and_goal(self) -> None:
        cards = self.page(
            self.kpis(
                40,
                20,
                10,
                first_token=Percentiles(count=40, p95_ms=1_240),
                per_conversation_nanos=3_123_456,
            ),
            self.kpis(
                50,
                20,
                15,
                first_token=Percentiles(count=9, p95_ms=1_000),
                per_conversation_nanos=3_123_456,
            ),
        )
        shown = {label: (card.value, card.change, card.verdict) for label, card in cards.items()}
        assert shown == {
            "Conversations": ("40", "10 fewer", "Not reached yet"),
            "Answered alone": ("50 %", "up 10 points", "Off target"),
            "Handed over": ("25 %", "down 5 points", "Off target"),
            "First words within": ("1.24 s", "240 ms slower", "Off target"),
            "Cost of a conversation": ("$0.00312", "no change", "On target"),
        }
        gauge = cards["First words within"].gauge
        assert gauge is not None
        assert (gauge.value, gauge.goal) == (80, 65)

    def test_compares_with_nothing_when_there_was_nothing(self) -> None:
        cards = self.page(self.kpis(0), self.kpis(0))
        assert {card.change for card in cards.values()} == {"nothing to compare with"}
        assert cards["Handed over"].verdict == "No figure yet"
        assert cards["First words within"].value == "–"

    @pytest.mark.parametrize(
        ("nanos", "said"),
        [
            (0, "$0.00"),
            (3, "$0.000000003"),
            (3_123_456, "$0.00312"),
            (9_999_999, "$0.01"),
            (12_000_000, "$0.01"),
            (1_500_000_000, "$1.50"),
        ],
    )
    def test_amounts_below_a_cent_have_three_digits(self, nanos: int, said: str) -> None:
        assert home.dollars(nanos) == said


class TestConversationList:
    def listed(self, minutes: int, **fields: Any) -> conv.Conversation:
        found = conv.Conversation(
            conversation_id=f"c{minutes}", title=f"{minutes} minutes ago", **fields
        )
        found.status_time.FromDatetime(NOW - timedelta(minutes=minutes))
        found.update_time.FromDatetime(NOW)
        return found

    def test_begins_with_who_waits_longest_and_says_who_is_with_whom(self) -> None:
        waiting = [
            self.listed(minutes, status=conv.CONVERSATION_STATUS_WAITING) for minutes in (2, 9, 4)
        ]
        taken = [
            self.listed(5, status=conv.CONVERSATION_STATUS_TAKEN_OVER, taken_over_by=person)
            for person in ("u1", "u2", "")
        ]
        view = conversations.conversation_list(
            waiting,
            "",
            {},
            conversations.Asked(status="waiting"),
            NOW,
            names={"u1": "maria@acme.example"},
            with_person=taken,
        )
        assert [row.conversation_id for row in view.rows] == ["c9", "c4", "c2"]
        assert view.headline == (
            "3 visitors wait for a person; the first asked 9 min. ago. 3 are with a person."
        )
        assert [row.since_said for row in view.with_person] == [
            "maria@acme.example took over",
            "Somebody who has left took over",
            "Taken over",
        ]
        assert {row.since.ago for row in view.with_person if row.since} == {"5 min. ago"}

    def test_of_the_agents_says_since_when_of_none(self) -> None:
        found = self.listed(5, status=conv.CONVERSATION_STATUS_OPEN, visitor_external_id="c-17")
        asked = conversations.Asked(filter="5", period="7d")
        view = conversations.conversation_list([found], "more", {}, asked, NOW)
        assert (view.rows[0].since, view.rows[0].detail) == (None, "c-17 · Agent version 0")
        assert view.next_href == "/conversations?filter=5&period=7d&page_token=more"
        assert asked.start(NOW) == datetime(2026, 11, 16, tzinfo=UTC)
        nothing = conversations.conversation_list([], "more", {}, asked, NOW)
        assert nothing.headline == "None of those looked at match; there are older ones."


class TestTranscript:
    def test_opens_the_answer_asked_for_else_the_last(self) -> None:
        def message(message_id: str, role: "conv.MessageRole.ValueType") -> conv.Message:
            return conv.Message(message_id=message_id, role=role, create_time=Timestamp())

        messages = [
            message("q", conv.MESSAGE_ROLE_VISITOR),
            message("a1", conv.MESSAGE_ROLE_AGENT),
            message("a2", conv.MESSAGE_ROLE_AGENT),
        ]

        def found(message_id: str) -> str:
            answer = transcript.opened(messages, message_id)
            return answer.message_id if answer else ""

        assert (found("a1"), found(""), found("q")) == ("a1", "a2", "a2")
        assert transcript.opened(messages[:1], "") is None
