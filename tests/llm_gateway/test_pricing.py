"""The price book against amounts worked out by hand."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fleetkit.errors import FailedPrecondition
from llm_gateway import price_check, pricing

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> pricing.PriceBook:
    return pricing.load()


def price(
    book: pricing.PriceBook, model: str, kind: str, at: datetime = NOW, prompt_tokens: int = 0
) -> int:
    return book.period(model, at).tier(prompt_tokens).prices[kind]


class TestAmount:
    @pytest.mark.parametrize(
        ("units", "nanos_per_million", "expected"),
        [
            # One local query: 5 ms of CPU at $0.036 an hour = 5,000 µs × 0.01 nano-dollars.
            (5_000, 10_000, 50),
            # An hour of a core is $0.036.
            (3_600_000_000, 10_000, 36_000_000),
            # 1,234 input tokens of Sonnet 5.5 at $2 per million.
            (1_234, 2_000_000_000, 2_468_000),
            # One token of Haiku 5.5 at $0.10 per million is 100 nano-dollars.
            (1, 100_000_000, 100),
            # One search of Cohere's rerank 4 Fast, $2.00 per 1,000.
            (1, 2_000_000_000_000, 2_000_000),
            # Half-even: 0.5 → 0, 1.5 → 2, 2.5 → 2, 3.5 → 4, and just off the half.
            (50, 10_000, 0),
            (150, 10_000, 2),
            (250, 10_000, 2),
            (350, 10_000, 4),
            (251, 10_000, 3),
            (249, 10_000, 2),
            (0, 2_000_000_000, 0),
        ],
    )
    def test_equals_the_hand_worked(
        self, units: int, nanos_per_million: int, expected: int
    ) -> None:
        assert pricing.amount_nanos(units, nanos_per_million) == expected

    def test_does_not_lose_a_nano_in_large_numbers(self) -> None:
        assert pricing.amount_nanos(10**15 + 1, 10**6 + 1) == 10**15 + 10**9 + 1


class TestPeriods:
    def test_a_price_change_at_midnight_utc(self, book: pricing.PriceBook) -> None:
        model, kind = "anthropic/claude-sonnet-5-5", "cache_read_token"
        before = datetime(2026, 10, 6, 23, 59, 59, 999_999, tzinfo=UTC)
        after = datetime(2026, 10, 7, tzinfo=UTC)
        assert price(book, model, kind, before) == 200_000_000
        assert price(book, model, kind, after) == 100_000_000

    def test_an_introductory_price_ends_with_the_year(self, book: pricing.PriceBook) -> None:
        model = "gemini/gemini-3.8-flash"
        assert price(book, model, "output_token") == 3_750_000_000
        new_year = datetime(2027, 1, 1, tzinfo=UTC)
        assert price(book, model, "output_token", new_year) == 7_500_000_000

    def test_a_model_before_its_first_price_is_refused(self, book: pricing.PriceBook) -> None:
        with pytest.raises(FailedPrecondition) as refused:
            book.period("anthropic/claude-opus-5-5", datetime(2026, 9, 21, tzinfo=UTC))
        assert refused.value.reason == "UNPRICED_MODEL"


class TestTiers:
    @pytest.mark.parametrize(
        ("prompt_tokens", "expected"), [(100_000, 100_000_000), (100_001, 500_000_000)]
    )
    def test_a_long_prompt_prices_every_token(
        self, book: pricing.PriceBook, prompt_tokens: int, expected: int
    ) -> None:
        model = "anthropic/claude-haiku-5-5"
        assert price(book, model, "input_token", prompt_tokens=prompt_tokens) == expected

    def test_openai_doubles_input_and_half_again_output(self, book: pricing.PriceBook) -> None:
        model = "openai/gpt-6-sol"
        assert price(book, model, "input_token", prompt_tokens=272_001) == 4_000_000_000
        assert price(book, model, "output_token", prompt_tokens=272_001) == 15_000_000_000


class TestFacts:
    @pytest.mark.parametrize(
        ("model", "frame", "crop"),
        [
            # The counts that were seen for 1920×1080, and of Claude for 512×512.
            ("anthropic/claude-haiku-5-5", 2_768, 438),
            ("anthropic/claude-haiku-4-5", 1_625, 438),
            ("gemini/gemini-3.8-flash", 1_101, 1_101),
            # 60 × 34 patches of 32 pixels, × 1.2; 16 × 16 of them.
            ("openai/gpt-6-luna", 2_448, 308),
            # 1365 × 768 after shrinking: 3 × 2 tiles of 170, + 85; one tile.
            ("openai/gpt-4o", 1_105, 255),
        ],
    )
    def test_a_pictures_tokens_by_the_models_formula(
        self, book: pricing.PriceBook, model: str, frame: int, crop: int
    ) -> None:
        counted = book.facts(model).image_tokens
        assert counted is not None
        assert (counted.of(1920, 1080), counted.of(512, 512)) == (frame, crop)
        assert counted.of(1, 1) >= 1

    def test_no_prompt_is_longer_than_the_context(self, book: pricing.PriceBook) -> None:
        assert book.facts("openai/gpt-4o").bounded(10**9) == 128_000
        assert book.facts("local/extractive").bounded(10**9) == 10**9

    def test_a_class_of_input_without_a_price_costs_as_input(self, book: pricing.PriceBook) -> None:
        tier = book.period("gemini/gemini-3.8-flash", NOW).tier(0)
        assert tier.price("cache_read_token") == tier.price("image_token") == 750_000_000
        with pytest.raises(KeyError):
            tier.price("rerank_search")


class TestUnpriced:
    def test_an_unknown_model_is_refused_not_free(self, book: pricing.PriceBook) -> None:
        with pytest.raises(FailedPrecondition, match="has no price") as refused:
            book.period("anthropic/claude-next", NOW)
        assert refused.value.reason == "UNPRICED_MODEL"
        assert refused.value.field == "model"

    def test_a_unit_without_a_price_is_refused(self, book: pricing.PriceBook) -> None:
        with pytest.raises(FailedPrecondition) as refused:
            book.period("openai/gpt-4o", NOW, {"cache_write_1h_token"})
        assert refused.value.details == {"kind": "cache_write_1h_token"}


class TestFile:
    def test_the_shipped_book_has_no_gaps(self, book: pricing.PriceBook) -> None:
        assert price_check.gaps(book, [("local/extractive", {"compute_us"})]) == []
        assert price_check.stale(book, NOW) == []

    def test_every_price_has_a_source_and_a_date(self, book: pricing.PriceBook) -> None:
        periods = [period for model in book.models.values() for period in model.periods]
        assert all(period.source and period.date for period in periods)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("version: '1'\nmodels: [{model: a/b, serves: answer, periods: []}]", "periods"),
            ("version: '1'\nmodels: [{model: a/b, serves: sing, periods: []}]", "serves"),
            ("version: '1'\nmodels: []\nmodels: []", "stands twice"),
            ("version: '1'\nprices: []", "prices"),
            ("version: 1\nmodels: []", "version"),
            ("- 1", "dictionary"),
            ("\t: {", "token"),
        ],
    )
    def test_a_wrong_file_says_what_is_wrong(self, text: str, problem: str) -> None:
        with pytest.raises(pricing.PriceBookError, match=problem):
            pricing.parse(text)

    @pytest.mark.parametrize("value", ["1.5", "-1", "'2'", "true"])
    def test_prices_are_whole_nanos(self, value: str) -> None:
        with pytest.raises(pricing.PriceBookError, match="input_token"):
            pricing.parse(one_model(f"{{input_token: {value}, output_token: 1}}"))

    def test_a_second_file_adds_models_and_stands_in_for_others(self, tmp_path: Path) -> None:
        file = tmp_path / "own.yaml"
        file.write_text(
            one_model("{input_token: 1, output_token: 2}").replace("a/b", "openai/gpt-4o")
        )
        shipped, book = pricing.load(), pricing.load(None, file)
        assert set(book.models) == set(shipped.models)
        assert price(book, "openai/gpt-4o", "input_token") == 1
        assert book.version == f"{shipped.version}+1"

    def test_a_file_elsewhere_replaces_the_shipped_one(self, tmp_path: Path) -> None:
        file = tmp_path / "prices.yaml"
        file.write_text(one_model("{input_token: 1, output_token: 2}"))
        assert set(pricing.load(file).models) == {"a/b"}


class TestCheck:
    @pytest.mark.parametrize(
        ("tiers", "gap"),
        [
            ("{input_token: 1}", "not both priced"),
            ("{input_token: 0, output_token: 1}", "input_token is free"),
            ("{input_token: 1, output_token: 1, cache_read_token: 2}", "costs more"),
            ("{above_prompt_tokens: 5, input_token: 1, output_token: 1}", "no tier for prompts"),
            ("{}", "without prices"),
        ],
    )
    def test_finds_gaps(self, tiers: str, gap: str) -> None:
        found = price_check.gaps(pricing.parse(one_model(tiers)), [])
        assert any(gap in sentence for sentence in found)

    def test_finds_configured_models_without_a_price(self, book: pricing.PriceBook) -> None:
        found = price_check.gaps(book, [("openai/gpt-7", ()), ("openai/gpt-4o", {"image"})])
        assert found == [
            "openai/gpt-7: configured, but not in the price book",
            "openai/gpt-4o: no price for image from the beginning",
        ]

    def test_names_facts_that_are_old(self, book: pricing.PriceBook) -> None:
        assert len(price_check.stale(book, datetime(2027, 6, 1, tzinfo=UTC))) == len(book.models)


def one_model(tier: str) -> str:
    return (
        "version: '1'\nmodels:\n- model: a/b\n  serves: answer\n  periods:\n"
        f"  - source: s\n    date: 2026-01-01\n    tiers: [{tier}]\n"
    )
