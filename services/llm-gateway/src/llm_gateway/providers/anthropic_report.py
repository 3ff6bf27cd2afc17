"""What Anthropic says was used: the messages usage report of its Admin API.

https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages, looked up 2026-11-28.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import anthropic

from llm_gateway.pricing import Unit
from llm_gateway.providers.anthropic import client_of
from llm_gateway.providers.anthropic_errors import translated
from llm_gateway.providers.usage_reports import DAYS_A_PAGE, Report, added_up
from llm_gateway.reconcile import Used

_PATH = "/v1/organizations/usage_report/messages"


def of(admin_key: str, base_url: str) -> Report:
    """The report by a key of the Admin API; the errors of any call to Anthropic."""

    async def report(start: datetime, end: datetime) -> Used:
        async with client_of(admin_key, base_url) as client:

            async def page_of(query: Mapping[str, str]) -> Any:
                try:
                    return await client.get(_PATH, cast_to=object, options={"params": query})
                except anthropic.APIError as error:
                    raise translated(error) from error

            query = {
                "starting_at": _stamp(start),
                "ending_at": _stamp(end),
                "bucket_width": "1d",
                "group_by[]": "model",
                "limit": str(DAYS_A_PAGE),
            }
            return await added_up(page_of, query, _units)

    return report


def _units(result: dict[str, Any]) -> Mapping[Unit, int]:
    written = result["cache_creation"]
    return {
        Unit.INPUT: result["uncached_input_tokens"],
        Unit.CACHE_READ: result["cache_read_input_tokens"],
        Unit.CACHE_WRITE_5M: written["ephemeral_5m_input_tokens"],
        Unit.CACHE_WRITE_1H: written["ephemeral_1h_input_tokens"],
        Unit.OUTPUT: result["output_tokens"],
    }


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
