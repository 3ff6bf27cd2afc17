"""What is allowed in an agent's settings."""

from dataclasses import replace

import pytest
from conversation.agent_config import PRESETS, AgentConfig, validate
from conversation.presets import default_agent, instructions_for, presets
from conversation.replies import reply
from fleetkit.errors import InvalidArgument

GOOD = AgentConfig(name="Ada", preset="friendly")


class TestValidate:
    @pytest.mark.parametrize(
        "config",
        [
            GOOD,
            replace(GOOD, name="A" * 80, greeting="x" * 500, instructions="ß" * 8_000),
            replace(GOOD, model="anthropic/claude-opus-4-5", max_tokens=100),
            replace(GOOD, next_models=("a/one", "a/two")),
            replace(GOOD, max_tokens=4_000, temperature_millis=2_000),
            replace(GOOD, answer_threshold_millis=600, handoff_threshold_millis=600),
            replace(GOOD, suggested_questions=("Where is my order?",) * 5),
            *(replace(GOOD, preset=preset) for preset in PRESETS),
        ],
    )
    def test_lets_good_settings_pass(self, config):
        validate(config)

    @pytest.mark.parametrize(
        ("changes", "field", "remedy"),
        [
            ({"name": " "}, "config.name", "1–80"),
            ({"name": "A" * 81}, "config.name", "at most 80"),
            ({"name": "A\0"}, "config.name", "remove"),
            ({"preset": ""}, "config.preset", "professional, friendly, technical, custom"),
            ({"greeting": "x" * 501}, "config.greeting", "at most 500"),
            ({"instructions": "x" * 8_001}, "config.instructions", "at most 8000"),
            ({"model": "claude"}, "config.model", "provider/model"),
            ({"model": "a/b; drop table"}, "config.model", "provider/model"),
            ({"difficult_share_millis": 1_001}, "config.difficult_share_millis", "0–1,000"),
            ({"next_models": ("a/b", "a/c", "a/d")}, "config.next_models", "more than 2"),
            ({"next_models": ("a/b", "c")}, "config.next_models[1]", "provider/model"),
            ({"next_models": ("a/b", "")}, "config.next_models[1]", "provider/model"),
            ({"next_models": ("a/b", "a/b")}, "config.next_models[1]", "remove"),
            ({"model": "a/b", "next_models": ("a/b",)}, "config.next_models[0]", "remove"),
            ({"max_tokens": 99}, "config.max_tokens", "100–4,000"),
            ({"max_tokens": 4_001}, "config.max_tokens", "100–4,000"),
            ({"max_tokens": -1}, "config.max_tokens", "100–4,000"),
            ({"temperature_millis": 2_001}, "config.temperature_millis", "0–2,000"),
            ({"answer_threshold_millis": 1_001}, "config.answer_threshold_millis", "0–1,000"),
            ({"handoff_threshold_millis": -1}, "config.handoff_threshold_millis", "0–1,000"),
            (
                {"answer_threshold_millis": 400, "handoff_threshold_millis": 401},
                "config.handoff_threshold_millis",
                "at most that",
            ),
            ({"suggested_questions": ("a",) * 6}, "config.suggested_questions", "at most 5"),
            ({"suggested_questions": ("a", "")}, "config.suggested_questions[1]", "fill it in"),
            ({"handoff_phrases": ("x" * 81,)}, "config.handoff_phrases[0]", "at most 80"),
        ],
    )
    def test_names_the_field_and_the_remedy(self, changes, field, remedy):
        with pytest.raises(InvalidArgument) as caught:
            validate(replace(GOOD, **changes))
        assert caught.value.field == field
        assert remedy in caught.value.message


class TestFromJson:
    def test_reads_what_it_wrote(self):
        config = replace(GOOD, suggested_questions=("a", "b"), handoff_phrases=("refund",))
        assert AgentConfig.from_json(config.to_json()) == config

    def test_bears_fields_of_older_and_newer_programs(self):
        assert AgentConfig.from_json({"name": "Ada", "preset": "friendly", "voice": 1}) == GOOD


class TestPresets:
    def test_there_are_four_and_only_custom_is_empty(self):
        assert tuple(presets()) == PRESETS
        assert [name for name, preset in presets().items() if not preset.instructions] == ["custom"]

    def test_suggested_settings_are_valid(self):
        for name, preset in presets().items():
            validate(
                replace(
                    GOOD,
                    preset=name,
                    max_tokens=preset.max_tokens,
                    temperature_millis=preset.temperature_millis,
                )
            )

    def test_the_first_agent_is_valid_and_says_that_it_is_an_ai(self):
        validate(default_agent())
        assert "AI" in default_agent().greeting

    def test_the_preset_comes_before_the_agents_own_words(self):
        told = instructions_for(replace(GOOD, instructions="Never mention prices."))
        assert told.startswith("You are Ada, ")
        assert presets()["friendly"].instructions in told
        assert told.endswith("Never mention prices.")

    def test_custom_is_all_by_hand(self):
        told = instructions_for(replace(GOOD, preset="custom", instructions="Be brief."))
        assert told.split("\n\n")[1:] == ["Be brief."]


class TestReply:
    OCCASIONS = (
        "greeting", "how_are_you", "thanks", "acknowledgement", "farewell", "opener",
        "are_you_a_bot", "clarify", "missing_knowledge", "low_confidence", "unsure_note",
        "partial_note",
        "visitor_request", "policy", "usage_limit", "failed", "deadline",
    )  # fmt: skip

    @pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl"])
    def test_every_language_has_its_own_sentence_for_every_occasion(self, language):
        for occasion in self.OCCASIONS:
            said = reply(occasion, language, name="Ada", first="A", second="B")
            assert said
            assert "{" not in said
            if language != "en":
                assert said != reply(occasion, "en", name="Ada", first="A", second="B")

    def test_is_english_where_a_language_is_unknown(self):
        assert reply("greeting", "ja") == reply("greeting", "en")
