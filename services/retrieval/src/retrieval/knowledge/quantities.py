"""Quantities in a sentence: numbers with their units, so that 2 kg are 2,000 g and $5 no €5."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*")
_NUMBER_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
SPELLED = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100",
    "eins": "1", "zwei": "2", "drei": "3", "vier": "4", "fünf": "5", "sechs": "6", "sieben": "7",
    "acht": "8", "neun": "9", "zehn": "10", "zwölf": "12",
}  # fmt: skip
_TIMES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "tausend": 1e3, "millionen": 1e6}
# Each line: a dimension, then units with how many of the first one they are.
_DIMENSIONS = """
    length mm=1 cm=10 m=1e3 km=1e6 in=25.4 inch=25.4 inches=25.4 ft=304.8 feet=304.8
    mass mg=1 g=1e3 kg=1e6 lb=453592 lbs=453592
    volume ml=1 l=1e3 litre=1e3 litres=1e3 liter=1e3 liters=1e3
    time ms=1 s=1e3 sec=1e3 second=1e3 seconds=1e3 sekunden=1e3 min=6e4 minute=6e4 minutes=6e4
    time minuten=6e4 minutos=6e4 h=36e5 hour=36e5 hours=36e5 stunden=36e5 heures=36e5 horas=36e5
    time day=864e5 days=864e5 tag=864e5 tage=864e5 tagen=864e5 jours=864e5 días=864e5
    time week=6048e5 weeks=6048e5 woche=6048e5 wochen=6048e5 semaines=6048e5 semanas=6048e5
    months month=1 months=1 monat=1 monate=1 monaten=1 mois=1 meses=1
    months year=12 years=12 jahr=12 jahre=12 jahren=12 ans=12 años=12
    voltage mv=1 v=1e3 volt=1e3 volts=1e3
    power w=1 watt=1 watts=1
    current ma=1 a=1e3 amp=1e3 amps=1e3
    charge mah=1
    frequency hz=1 khz=1e3 mhz=1e6 ghz=1e9
    data b=1 byte=1 bytes=1 kb=1e3 kilobytes=1e3 mb=1e6 megabytes=1e6 gb=1e9 gigabytes=1e9 tb=1e12
    bits bit=1 bits=1
    celsius c=1
    fahrenheit f=1
    percent %=1 percent=1
    usd $=1 usd=1 dollar=1 dollars=1
    eur €=1 eur=1 euro=1 euros=1
    gbp £=1 gbp=1 pounds=1
    cent cent=1 cents=1
"""
UNITS = {
    unit: (line.split()[0], float(factor))
    for line in _DIMENSIONS.strip().splitlines()
    for unit, _, factor in (each.partition("=") for each in line.split()[1:])
}
_BEFORE = frozenset({"$", "€", "£", "usd", "eur", "gbp"})


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """A number as written and, where it has a unit, its dimension and its size in that."""

    number: float
    dimension: str = ""
    size: float = 0.0

    def is_like(self, other: "Quantity") -> bool:
        """Whether both are the same; a number without a unit is like it with one."""
        if self.dimension and other.dimension:
            same = abs(self.size - other.size) <= 1e-6 * max(self.size, other.size)
            return self.dimension == other.dimension and same
        return self.number == other.number


def quantities(tokens: Sequence[str]) -> tuple[Quantity, ...]:
    """All in order; `tokens` are lower-case words and signs."""
    found: list[Quantity] = []
    for place, token in enumerate(tokens):
        match = NUMBER.fullmatch(SPELLED.get(token, token))
        if match is None or match.group(2) not in ("", *UNITS):
            continue
        number, after = _number(match.group(1)), place + 1
        if after < len(tokens) and tokens[after] in _TIMES:
            number, after = number * _TIMES[tokens[after]], after + 1
        unit = match.group(2) or _unit(tokens, place, after)
        dimension, factor = UNITS.get(unit, ("", 0.0))
        found.append(Quantity(number, dimension, number * factor))
    return tuple(found)


def differ(some: Sequence[Quantity], others: Sequence[Quantity]) -> str:
    """In what as many quantities differ: "NUMBERS", "UNITS", or "" when they don't."""
    left = list(others)
    unlike: list[Quantity] = []
    for quantity in some:
        match = next((other for other in left if quantity.is_like(other)), None)
        if match is None:
            unlike.append(quantity)
        else:
            left.remove(match)
    if not unlike:
        return ""
    same_numbers = sorted(q.number for q in unlike) == sorted(q.number for q in left)
    return "UNITS" if same_numbers else "NUMBERS"


def _number(written: str) -> float:
    if _THOUSANDS.fullmatch(written):
        return float(written.replace(".", "").replace(",", ""))
    whole, _, decimals = written.replace(",", ".").partition(".")
    return float(f"{whole}.{decimals.replace('.', '') or 0}")


def _unit(tokens: Sequence[str], place: int, after: int) -> str:
    """That behind the number, or a currency before it."""
    if after < len(tokens) and tokens[after] == "°":
        after += 1
    if after < len(tokens) and tokens[after] in UNITS:
        return tokens[after]
    before = tokens[place - 1] if place else ""
    return before if before in _BEFORE else ""
