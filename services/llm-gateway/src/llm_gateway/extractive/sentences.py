"""Where sentences end, in running text of any script."""

import re

# Words that end in a full stop without ending a sentence.
_ABBREVIATIONS_TEXT = """
e.g i.e etc vs cf approx no nr fig figs eq sec ch vol pp p ed eds al dr mr mrs ms prof st jr sr inc
ltd co corp dept est min max temp tel ext ver u.s u.k a.m p.m z.b bzw ca usw d.h inkl jan feb mar
apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
# A stop of a script that needs no space after it, or a stop with closing marks before a space.
# Possessive, and from the first stop of a run only: a line of dots costs no more than its length.
_STOP = re.compile(r"[。！？](?:[」』”’）)]*)|(?<![.!?…])[.!?…]++[\"'”’»)\]*_`]*+(?=\s)")
_OPENING = " \t\r\n\"'“‘«([*_`¿¡"
_LONGEST = 600
_LONGEST_ABBREVIATION = 24


def split(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of one paragraph, without the space between them."""
    bounds: list[tuple[int, int]] = []
    start = 0
    for stop in _STOP.finditer(text):
        if _ends_sentence(text, start, stop):
            bounds += _cut(text, start, stop.end())
            start = stop.end()
    return bounds + _cut(text, start, len(text))


def _ends_sentence(text: str, start: int, stop: re.Match[str]) -> bool:
    if stop[0][0] in "。！？":
        return True
    following = text[stop.end() : stop.end() + 20].lstrip(_OPENING)
    if following and following[0].islower():
        return False
    if stop[0][0] != "." or stop[0].startswith(".."):
        return True
    words = text[max(start, stop.start() - _LONGEST_ABBREVIATION) : stop.start()].split()
    if not words:
        return True
    last = words[-1].lstrip("*_`([\"'“‘").lower()
    if last in _ABBREVIATIONS:
        return False
    if len(last) == 1 and last.isalpha():
        # "J. Smith" goes on; "5 V." does not.
        return len(words) > 1 and words[-2][-1].isdigit()
    # The "1." of a numbered line.
    return not (last.isdigit() and text[start : stop.start()].strip() == last)


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Trims the space around [start, end), and cuts what is endless at a space."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    bounds: list[tuple[int, int]] = []
    while end - start > _LONGEST:
        middle = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
        middle = middle if middle > 0 else start + _LONGEST
        bounds.append((start, middle))
        start = middle
        while start < end and text[start].isspace():
            start += 1
    return [*bounds, (start, end)] if end > start else bounds
