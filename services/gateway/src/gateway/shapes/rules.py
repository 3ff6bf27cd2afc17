"""What the fields of one body ask of each other, as JSON Schema has it.

Whoever owns the thing refuses what breaks a rule; `make surface` holds both to each other.
"""

from collections.abc import Mapping
from typing import Any

from gateway.text import TEXT_PATTERN


def _given(field: str, **keywords: Any) -> dict[str, Any]:
    """The field is there, and like this."""
    return {"required": [field], "properties": {field: keywords}}


_SOME_URL = {"pattern": "^https?://."}
RULES: Mapping[str, dict[str, Any]] = {
    "CreateBudgetRequest": {
        "if": _given("level", const="tenant"),
        "then": {"properties": {"target_id": {"type": "null"}}},
    },
    "EvaluationRequest": {
        "oneOf": [
            _given("questions", minItems=1),
            _given("csv", minLength=1),
            _given("from_evaluation_id", type="string"),
        ]
    },
    "ExperimentRequest": {
        "anyOf": [_given("fusion_version", minLength=1), _given("rerank_model", minLength=1)]
    },
    "SourceRequest": {
        "if": _given("type", const="text"),
        "then": {
            "required": ["text"],
            "properties": {
                "text": {"pattern": TEXT_PATTERN},
                "max_pages": {"const": 0},
                "max_depth": {"const": 0},
            },
        },
        "else": {
            "required": ["url"],
            "properties": {"url": _SOME_URL, "text": {"maxLength": 0}},
        },
        "allOf": [
            {
                "if": _given("type", enum=["text", "url"]),
                "then": {
                    "properties": {
                        "include_paths": {"maxItems": 0},
                        "exclude_paths": {"maxItems": 0},
                    }
                },
            }
        ],
    },
}
