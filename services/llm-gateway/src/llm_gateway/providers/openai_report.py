"""What OpenAI says was used: the completions usage of its organisation API.

https://platform.openai.com/docs/api-reference/usage/completions, in the shape of the SDK's
`UsageCompletionsResponse`, looked up 2026-11-28.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import openai

from llm_gateway.config import OpenAiEndpoint
from llm_gateway.pricing import Unit
from llm_gateway.providers.openai_compatible import client_of
from llm_gateway.providers.openai_errors import translated
from llm_gateway.providers.usage_reports import DAYS_A_PAGE, Report, added_up
from llm_gateway.reconcile import Used

_PATH = "/organization/usage/completions"


def of(endpoint: OpenAiEndpoint) -> Report:
    """The report by `endpoint`'s key, an admin key; the errors of any call to it."""

    async def report(start: datetime, end: datetime) -> Used:
        async with client_of(endpoint) as client:

            async def page_of(query: Mapping[str, str]) -> Any:
                try:
                    return await client.get(_PATH, cast_to=object, options={"params": query})
                except openai.APIError as error:
                    raise translated(error, endpoint.name) from error

            query = {
                "start_time": str(int(start.timestamp())),
                "end_time": str(int(end.timestamp())),
                "bucket_width": "1d",
                "group_by[]": "model",
                "limit": str(DAYS_A_PAGE),
            }
            return await added_up(page_of, query, _units)

    return report


def _units(result: dict[str, Any]) -> Mapping[Unit, int]:
    """`input_tokens` has all of them; what was not used may be null or missing."""
    read = result.get("input_cached_tokens") or 0
    written = result.get("input_cache_write_tokens") or 0
    # Pictures that the cache did not serve.
    image = result.get("input_image_tokens") or 0
    return {
        Unit.INPUT: result["input_tokens"] - read - written - image,
        Unit.CACHE_READ: read,
        Unit.CACHE_WRITE_30M: written,
        Unit.IMAGE: image,
        Unit.OUTPUT: result["output_tokens"],
    }
