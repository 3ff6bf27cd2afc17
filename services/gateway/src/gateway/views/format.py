"""Money, times and counts as people read them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from google.protobuf.timestamp_pb2 import Timestamp

NANOS_PER_DOLLAR = 1_000_000_000
NANOS_PER_CENT = 10_000_000
# Dollars with at most nine decimals: digits of other scripts and exponents are none.
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{0,9})?|\.[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class When:
    """A moment: `iso` for machines, `ago` relative to now, `full` for whoever hovers."""

    iso: str
    ago: str
    full: str


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `short` to the cent, `exact` to the nano-dollar."""

    nanos: int
    short: str
    exact: str


def midnight(now: datetime) -> datetime:
    """The first moment of the day, UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def money(nanos: int) -> Money:
    """An amount of nano-dollars for people."""
    return Money(nanos, _to_the_cent(nanos), money_exact(nanos))


def money_exact(nanos: int) -> str:
    """All nine digits: "$0.000184210"."""
    dollars, rest = divmod(abs(nanos), NANOS_PER_DOLLAR)
    return f"{_sign(nanos)}${dollars:,}.{rest:09d}"


def price_per_million(nanos_per_million: int) -> str:
    """A price without trailing zeros, to the cent at least: "$0.25", "$0.0125"."""
    amount = Decimal(nanos_per_million) / NANOS_PER_DOLLAR
    text = f"{amount.normalize():,f}"
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.ljust(2, '0')}"


def nanos_typed(dollars: str) -> int | None:
    """The nano-dollars of an amount that somebody typed, "$1,250.50"; None when it is none."""
    text = dollars.strip().removeprefix("$").replace(",", "")
    if not _AMOUNT.fullmatch(text):
        return None
    return int(Decimal(text) * NANOS_PER_DOLLAR)


def _to_the_cent(nanos: int) -> str:
    if 0 < abs(nanos) < NANOS_PER_CENT // 2:
        return f"{_sign(nanos)}<$0.01"
    cents = Decimal(abs(nanos)) / NANOS_PER_CENT
    dollars = cents.quantize(Decimal(1), ROUND_HALF_EVEN) / 100
    return f"{_sign(nanos)}${dollars:,.2f}"


def _sign(nanos: int) -> str:
    return "−" if nanos < 0 else ""


def when(moment: datetime, now: datetime) -> When:
    """A moment as seen from `now`; both aware."""
    moment = moment.astimezone(UTC)
    return When(
        iso=moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        ago=_ago(moment, now),
        full=f"{moment.day} {moment:%B %Y, %H:%M:%S} UTC",
    )


def when_of(timestamp: Timestamp, now: datetime) -> When:
    """A proto timestamp as seen from `now`."""
    return when(timestamp.ToDatetime(tzinfo=UTC), now)


def _ago(moment: datetime, now: datetime) -> str:
    age = now - moment
    if age < timedelta(seconds=45):
        return "just now"
    if age < timedelta(minutes=1):
        return f"{age.seconds} sec. ago"
    if age < timedelta(hours=1):
        return f"{round(age / timedelta(minutes=1))} min. ago"
    if age < timedelta(days=1):
        return f"{round(age / timedelta(hours=1))} hr. ago"
    if age < timedelta(days=30):
        return count(round(age / timedelta(days=1)), "day") + " ago"
    return f"{moment.day} {moment:%b %Y}"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 document", "1,204 documents"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    """A share, 0–1, as "82 %"; never "100 %" or "0 %" when it is not quite."""
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        rounded = 99
    if rounded == 0 and share > 0:
        return "<1 %"
    return f"{rounded} %"


def sentence(text: str) -> str:
    """A message as a sentence: a capital, and a full stop; a field's name as words."""
    text = text.strip()
    if not text:
        return text
    first, space, rest = text.partition(" ")
    text = first.replace("_", " ") + space + rest
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def about(seconds: float) -> str:
    """A duration, roughly: "under a minute", "4 minutes", "3 hours"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    return count(minutes, "minute") if minutes < 100 else count(round(minutes / 60), "hour")


def size(byte_count: int) -> str:
    """A file's size: "812 B", "4.2 kB", "1.3 MB"."""
    if byte_count < 1_000:
        return f"{byte_count} B"
    if byte_count < 1_000_000:
        return f"{byte_count / 1_000:.1f} kB"
    return f"{byte_count / 1_000_000:.1f} MB"
