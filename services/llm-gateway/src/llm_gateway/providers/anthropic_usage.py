"""Anthropic's usage as units of the ledger."""

from anthropic.types import Usage

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit


def report_prompt(meter: Meter, usage: Usage) -> None:
    """`input_tokens` leaves out what was read from and written to the cache."""
    meter.report(Unit.INPUT, usage.input_tokens)
    meter.report(Unit.CACHE_READ, usage.cache_read_input_tokens or 0)
    written = usage.cache_creation_input_tokens or 0
    hour = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    meter.report(Unit.CACHE_WRITE_1H, hour)
    meter.report(Unit.CACHE_WRITE_5M, written - hour)
