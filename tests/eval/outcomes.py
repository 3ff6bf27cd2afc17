"""What a visitor gets from the default without a key: an answer, a question, or a person.

`python -m tests.eval.outcomes`: questions of the labelled sets go through retrieval's passages and
relevance, conversation's decision and `local/extractive`, as one turn does. Beside the kinds of
`tests.eval.answers` there are short texts to chat assistants: all of them are off topic, and those
that point nowhere ("repeat that") and single words are kinds of their own. The three longest words
of a question stand for what is added after asking back, alone and joined with what names nothing.
"""

import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from conversation.decision import (
    DOUBTFUL,
    Answer,
    AskBack,
    Evidence,
    Rules,
    confidence,
    decide_from_evidence,
    places_of,
    topics_of,
)
from conversation.followups import points_nowhere
from conversation.intents import is_one_word, small_talk
from fleetkit.tokens import TokenCounter, tokenizer_path

from .answers import Asked, Knowledge, asked_of, case_of, headings_of
from .relevance_data import longest_words
from .sets import available, off_topic
from .vectors import VectorCache
from .workbench import parser, short, table

_SETS = ("retrieval_emanual_s10", "retrieval_claude_docs", "retrieval_squad2_a")
_HEADED = "kb_arduino_help"
_RULES = Rules(answer_threshold=0.5, handoff_threshold=0.3)
_OUTCOMES = ("answered", "asked back", "handed over")
_OFF_TOPIC = 150
_EVERY = 50
_BUCKETS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.01)
_THRESHOLDS = np.arange(0.1, 0.61, 0.05)
_NAMES_NOTHING = "It does not work"
_LABELLED = ("answerable", "three words", "the same, joined")


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of a question of a set; `plainly` without the rules for vague questions.

    `unsupported`: whether passages were found, and no sentence in them; `named`: whether a document
    that answers is among the three that are named then.
    """

    set_name: str
    kind: str
    outcome: str
    plainly: str
    confidence: float
    right: bool
    unsupported: bool
    named: bool


def main() -> None:
    """Prints the tables."""
    options = parser("Measures what visitors get by default.").parse_args()
    cache, tokens = VectorCache(options.cache), TokenCounter(tokenizer_path(None))
    strangers = [text for text in off_topic(options.data) if small_talk(text) is None]
    turns: list[Turn] = []
    for evaluated in available(options.data, (*_SETS, _HEADED)):
        known = Knowledge(evaluated, tokens, cache)
        if evaluated.name == _HEADED:
            asked = headings_of(known, options.queries)
        else:
            asked = [*asked_of(options.data / f"{evaluated.name}.tar.gz", options.queries)]
        turns += _turns(known, asked, strangers, cache)
    print_outcomes(turns)
    print_calibration(turns)
    print_doubtful(turns)
    print_named(turns)


def _turns(
    known: Knowledge, asked: Sequence[Asked], strangers: Sequence[str], cache: VectorCache
) -> Iterable[Turn]:
    for one in asked:
        yield _turn(known, "answerable" if one.gold else "unanswerable", one, cache)
        if one.gold and len(one.documents) == 1:
            yield _turn(known, "removed", one, cache, next(iter(one.documents)))
        three = longest_words(one.text, 3)
        if one.gold and three:
            yield _turn(known, "three words", replace(one, text=three), cache)
            after = replace(one, text=f"{_NAMES_NOTHING}\n{three}")
            yield _turn(known, "the same, joined", after, cache)
    draw = random.Random(3)
    kinds = {
        "off topic": draw.sample(strangers, min(_OFF_TOPIC, len(strangers))),
        "points nowhere": [text for text in strangers if points_nowhere(text)],
        "one word": [longest_words(one.text, 1) for one in asked if one.gold],
        "one word, off topic": [longest_words(text, 1) for text in strangers[::_EVERY]],
    }
    for kind, texts in kinds.items():
        for text in filter(None, texts):
            yield _turn(known, kind, Asked(text, (), "", frozenset()), cache)


def _turn(known: Knowledge, kind: str, asked: Asked, cache: VectorCache, without: str = "") -> Turn:
    passages, relevance = known.look_up(asked.text, without)
    labelled = kind in _LABELLED
    case = case_of("answerable" if labelled else kind, asked, passages, cache)
    topics = topics_of((p.document_id, p.title, p.score) for p in passages)
    vague = Evidence(
        relevance,
        topics,
        entitled=True,
        points_nowhere=points_nowhere(asked.text),
        one_word=is_one_word(asked.text),
    )
    plain = Evidence(relevance, topics, entitled=True)
    outcome, plainly = (_outcome(each, case.text) for each in (vague, plain))
    sure = confidence(relevance, case.support, 1, 0)
    right = labelled and case.text_right
    unsupported = isinstance(decide_from_evidence(vague, _RULES), Answer) and not case.text
    documents = {places_of([(p.title, p.heading_path)]): p.document_id for p in reversed(passages)}
    shown = places_of((p.title, p.heading_path) for p in passages)
    named = any(documents[(place,)] in asked.documents for place in shown)
    return Turn(known.name, kind, outcome, plainly, sure, right, unsupported, named)


def _outcome(evidence: Evidence, text: str) -> str:
    match decide_from_evidence(evidence, _RULES):
        case Answer():
            return "answered" if text else "handed over"
        case AskBack():
            return "asked back"
        case _:
            return "handed over"


def print_outcomes(turns: Sequence[Turn]) -> None:
    """Shares of the outcomes by kind; in brackets without the rules for vague questions."""
    rows: list[list[str]] = []
    for name, kind in dict.fromkeys((turn.set_name, turn.kind) for turn in turns):
        mine = [turn for turn in turns if (turn.set_name, turn.kind) == (name, kind)]
        cells = [
            f"{np.mean([turn.outcome == each for turn in mine]):.2f}"
            f" ({np.mean([turn.plainly == each for turn in mine]):.2f})"
            for each in _OUTCOMES
        ]
        answered = [turn.right for turn in mine if turn.outcome == "answered"]
        right = f"{np.mean(answered):.2f}" if kind in _LABELLED else ""
        rows.append([short(name), kind, f"{len(mine)}", *cells, right])
    print("in brackets without the rules for questions that point nowhere and single words")
    print(table(["set", "questions", "number", *_OUTCOMES, "answers right"], rows), end="\n\n")


def print_calibration(turns: Sequence[Turn]) -> None:
    """By confidence: how many answers, and how many of them are right."""
    answered = _judged(turns)
    names = list(dict.fromkeys(turn.set_name for turn in answered))
    rows: list[list[str]] = []
    for low, high in pairwise(_BUCKETS):
        row = [f"{low:.1f}-{min(high, 1.0):.1f}"]
        for name in names:
            mine = [
                turn for turn in answered if turn.set_name == name and low <= turn.confidence < high
            ]
            row.append(f"{sum(turn.right for turn in mine)} of {len(mine)}")
        rows.append(row)
    print("answers that are right by confidence; unanswerable and removed count as wrong")
    print(table(["confidence", *map(short, names)], rows), end="\n\n")


def print_doubtful(turns: Sequence[Turn]) -> None:
    """Which answers are marked as doubtful, by the threshold of the other sets and the one in use.

    A set's threshold is the one that parts right from wrong best, both counting the same.
    """
    answered = _judged(turns)
    rows: list[list[str]] = []
    for name in dict.fromkeys(turn.set_name for turn in answered):
        mine = [turn for turn in answered if turn.set_name == name]
        others = [turn for turn in answered if turn.set_name != name]
        for label, least in (("of the others", _best(others)), ("in use", DOUBTFUL)):
            below = [turn.right for turn in mine if turn.confidence < least]
            above = [turn.right for turn in mine if turn.confidence >= least]
            lost = sum(below) / max(1, sum(turn.right for turn in mine))
            caught = (len(below) - sum(below)) / max(1, sum(not turn.right for turn in mine))
            figures = (least, np.mean(below), np.mean(above), lost, caught)
            rows.append([short(name), label, *(f"{figure:.2f}" for figure in figures)])
    head = ["set", "threshold", "", "right below", "right above"]
    print(table([*head, "of the right below", "of the wrong below"], rows))


def print_named(turns: Sequence[Turn]) -> None:
    """Of answerable questions that no sentence supports, how often the right document is named."""
    rows: list[list[str]] = []
    for name in dict.fromkeys(turn.set_name for turn in turns):
        mine = [turn for turn in turns if turn.set_name == name and turn.unsupported]
        answerable = [turn.named for turn in mine if turn.kind == "answerable"]
        others = sum(turn.kind in ("unanswerable", "removed", "off topic") for turn in mine)
        rows.append([short(name), f"{sum(answerable)} of {len(answerable)}", f"{others}"])
    print("\nhanded over although passages were found")
    print(table(["set", "answerable: names the right document", "without answer"], rows))


def _judged(turns: Sequence[Turn]) -> list[Turn]:
    kinds = ("answerable", "unanswerable", "removed")
    return [turn for turn in turns if turn.kind in kinds and turn.outcome == "answered"]


def _best(turns: Sequence[Turn]) -> float:
    def parted(least: float) -> float:
        shares: list[float] = []
        for name in {turn.set_name for turn in turns}:
            mine = [turn for turn in turns if turn.set_name == name]
            shares.append(float(np.mean([t.confidence >= least for t in mine if t.right])))
            shares.append(float(np.mean([t.confidence < least for t in mine if not t.right])))
        return float(np.mean(shares))

    return float(max(_THRESHOLDS, key=parted))


if __name__ == "__main__":
    sys.exit(main())
