"""Reading a provider's own report of what was used: days in pages, tokens by model and kind."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from fleetkit.errors import Unavailable

from llm_gateway.config import Settings
from llm_gateway.pricing import Unit
from llm_gateway.reconcile import Used

DAYS_A_PAGE = 31
_MOST_PAGES = 100
# A model's name may be told with the day of its snapshot.
_SNAPSHOT = re.compile(r"-\d{4}-?\d\d-?\d\d$")

# Tokens by model and kind between two UTC midnights.
Report = Callable[[datetime, datetime], Awaitable[Used]]
Page = Callable[[Mapping[str, str]], Awaitable[Any]]


def configured(settings: Settings) -> Mapping[str, Report]:
    """The reports that settings have keys for, by provider."""
    reports: dict[str, Report] = {}
    # Importing the SDKs costs seconds: only where they are used.
    if settings.anthropic_admin_key is not None:
        from llm_gateway.providers import anthropic_report

        key = settings.anthropic_admin_key.get_secret_value()
        reports["anthropic"] = anthropic_report.of(key, settings.anthropic_base_url)
    if settings.openai_admin_key is not None:
        from llm_gateway.providers import openai_report

        key = settings.openai_admin_key.get_secret_value()
        reports["openai"] = openai_report.of(settings.endpoint_of("openai", key))
    return reports


async def added_up(
    page_of: Page, query: Mapping[str, str], units_of: Callable[[Any], Mapping[Unit, int]]
) -> Used:
    """All results of all pages; Unavailable (PROVIDER_MALFORMED) when they are no such report."""
    used: Used = Counter()
    for _ in range(_MOST_PAGES):
        page = await page_of(query)
        try:
            for result in (each for bucket in page["data"] for each in bucket["results"]):
                model = _SNAPSHOT.sub("", result["model"])
                for kind, tokens in units_of(result).items():
                    used[model, kind.value] += tokens
            if not page["has_more"]:
                return used
            query = {**query, "page": page["next_page"]}
        except (KeyError, TypeError) as error:
            raise _malformed() from error
    raise _malformed()


def _malformed() -> Unavailable:
    return Unavailable("the usage report cannot be read", reason="PROVIDER_MALFORMED")
