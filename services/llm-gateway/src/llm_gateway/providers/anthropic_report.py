"""What Anthropic says was used: the messages usage report of its Admin API.

https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages, looked up 2026-11-28.
"""

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import anthropic
from anthropic import AsyncAnthropic
from fleetkit.errors import Unavailable

from llm_gateway.pricing import Unit
from llm_gateway.providers.anthropic_errors import translated
from llm_gateway.reconcile import Used

_PATH = "/v1/organizations/usage_report/messages"
_DAYS_A_PAGE = 31
_MOST_PAGES = 100
# A model's name may be told with the day of its snapshot.
_SNAPSHOT = re.compile(r"-\d{8}$")


async def usage_report(client: AsyncAnthropic, start: datetime, end: datetime) -> Used:
    """Tokens by model and kind between two UTC midnights; `client` has a key of the Admin API.

    Unavailable when what comes is no such report; the errors of any call to Anthropic.
    """
    query = {
        "starting_at": _stamp(start),
        "ending_at": _stamp(end),
        "bucket_width": "1d",
        "group_by[]": "model",
        "limit": str(_DAYS_A_PAGE),
    }
    used: Used = Counter()
    for _ in range(_MOST_PAGES):
        page = await _page(client, query)
        try:
            for bucket in page["data"]:
                for result in bucket["results"]:
                    _add(used, result)
            if not page["has_more"]:
                return used
            query["page"] = page["next_page"]
        except (KeyError, TypeError) as error:
            raise _malformed() from error
    raise _malformed()


async def _page(client: AsyncAnthropic, query: dict[str, str]) -> Any:
    try:
        return await client.get(_PATH, cast_to=object, options={"params": query})
    except anthropic.APIError as error:
        raise translated(error) from error


def _add(used: Used, result: dict[str, Any]) -> None:
    model = _SNAPSHOT.sub("", result["model"])
    written = result["cache_creation"]
    for kind, tokens in {
        Unit.INPUT: result["uncached_input_tokens"],
        Unit.CACHE_READ: result["cache_read_input_tokens"],
        Unit.CACHE_WRITE_5M: written["ephemeral_5m_input_tokens"],
        Unit.CACHE_WRITE_1H: written["ephemeral_1h_input_tokens"],
        Unit.OUTPUT: result["output_tokens"],
    }.items():
        used[model, kind.value] += tokens


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _malformed() -> Unavailable:
    return Unavailable("the usage report cannot be read", reason="PROVIDER_MALFORMED")
