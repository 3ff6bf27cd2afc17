"""What to do with a question: pure, outside of any model.

Order: what the visitor asks for comes before what the tenant's rules say, then what the plan
allows, then what the knowledge holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from conversation import intents
from conversation.agent_config import AgentConfig
from conversation.config import Settings

HandoffReason = Literal[
    "missing_knowledge",
    "low_confidence",
    "visitor_request",
    "policy",
    "tool_failure",
    "usage_limit",
]
# A second topic is a candidate when its best passage scores at least half of the first's: below
# that, naming it would confuse more than ask.
_CANDIDATE_SHARE = 0.5
_MOST_PLACES = 3
# A question that points nowhere is answered from here on: the knowledge has its very words. Of 160
# with a pronoun and at most two other words that say something (139 to chat assistants, 21 made up
# such as "it does not work"), asked of four labelled sets that have no answer to them, 27 of 640
# were at 0.5 or above, 3 at 0.8, none here.
_CERTAIN = 0.9
# Below this confidence an answer says that it may be none. Of labelled questions, half of them
# without an answer, `local/extractive` is right for a quarter or less below it on three sets of
# four, and for half and more above it on each (tests/eval/README.md).
DOUBTFUL = 0.3


@dataclass(frozen=True, slots=True)
class Answer:
    """Have a model answer from the passages."""


@dataclass(frozen=True, slots=True)
class AskBack:
    """Ask which of two topics is meant; of a vague question what it is about, naming 0 to 3."""

    topics: tuple[str, ...]
    vague: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """Ask a person to take over."""

    reason: HandoffReason


@dataclass(frozen=True, slots=True)
class Chat:
    """Reply politely to small talk of this kind."""

    kind: str


Decision = Answer | AskBack | HandOver | Chat


@dataclass(frozen=True, slots=True)
class Rules:
    """What an agent's version says: thresholds on relevance, 0–1, and phrases for persons only."""

    answer_threshold: float
    handoff_threshold: float
    handoff_phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Topic:
    """A document that was found: its id, title, and its best passage's score."""

    document_id: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the neighbours said.

    `relevance`: calibrated probability that the passages answer; `topics` best first; `places`: by
    title and heading, three at most;
    `entitled`: whether plan and budgets allow an answer; `asked_back`: whether the last turn asked
    back already; `points_nowhere`: whether nothing says what "it" is; `one_word`: whether that is
    all that was said.
    """

    relevance: float
    topics: tuple[Topic, ...]
    entitled: bool
    asked_back: bool = False
    points_nowhere: bool = False
    one_word: bool = False
    places: tuple[str, ...] = ()


def rules_of(config: AgentConfig, settings: Settings) -> Rules:
    """An agent version's rules, with the fleet's defaults where it has none of its own."""
    answer = config.answer_threshold_millis or settings.answer_threshold_millis
    handoff = config.handoff_threshold_millis or settings.handoff_threshold_millis
    return Rules(answer / 1000, min(handoff, answer) / 1000, config.handoff_phrases)


def topics_of(passages: Iterable[tuple[str, str, float]]) -> tuple[Topic, ...]:
    """The documents of passages (document, title, score), best first, by their best passage."""
    best: dict[str, Topic] = {}
    for document_id, title, score in passages:
        known = best.get(document_id)
        if known is None or score > known.score:
            best[document_id] = Topic(document_id, title, score)
    return tuple(sorted(best.values(), key=lambda topic: -topic.score))


def places_of(passages: Iterable[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """The first three places of passages (title, headings), each once: "Router › Reset"."""
    named = ([title, *headings[-1:]] for title, headings in passages)
    found = (" › ".join(dict.fromkeys(filter(None, map(str.strip, each)))) for each in named)
    return tuple(dict.fromkeys(filter(None, found)))[:_MOST_PLACES]


def decide_from_text(text: str, rules: Rules, earlier: Sequence[str] = ()) -> Decision | None:
    """The decision that the visitor's words alone allow; None when the knowledge must be asked.

    `earlier`: the visitor's texts before, newest first.
    """
    if intents.wants_person(text):
        return HandOver("visitor_request")
    if intents.contains_phrase(text, rules.handoff_phrases):
        return HandOver("policy")
    talk = intents.small_talk(text, earlier)
    return Chat(talk.kind) if talk else None


def decide_from_evidence(evidence: Evidence, rules: Rules) -> Decision:
    """The decision for a question that the words alone did not settle."""
    if not evidence.entitled:
        return HandOver("usage_limit")
    least = rules.answer_threshold
    if evidence.points_nowhere:
        least = max(least, _CERTAIN)
    if evidence.topics and evidence.relevance >= least:
        return Answer()
    if evidence.asked_back:
        # Nobody likes to be asked back twice.
        return HandOver("missing_knowledge")
    if evidence.points_nowhere or evidence.one_word:
        # What names nothing and has found next to nothing is near no place.
        near = evidence.one_word or evidence.relevance >= rules.handoff_threshold
        return AskBack(evidence.places if near else (), vague=True)
    candidates = candidate_topics(evidence.topics)
    if len(candidates) < 2 or not evidence.relevance >= rules.handoff_threshold:
        # One topic leaves nothing to choose between; a relevance that is no number is none.
        return HandOver("missing_knowledge")
    return AskBack((candidates[0].title, candidates[1].title))


def decide(text: str, evidence: Evidence, rules: Rules, earlier: Sequence[str] = ()) -> Decision:
    """Both together: what the words settle, else what the evidence does."""
    return decide_from_text(text, rules, earlier) or decide_from_evidence(evidence, rules)


def candidate_topics(topics: Sequence[Topic]) -> list[Topic]:
    """The topics worth naming, best first: with a title, each title and document once."""
    found: list[Topic] = []
    for topic in sorted(topics, key=lambda topic: -topic.score):
        title = topic.title.strip().casefold()
        if not title or any(
            topic.document_id == other.document_id or title == other.title.strip().casefold()
            for other in found
        ):
            continue
        if not found or topic.score >= _CANDIDATE_SHARE * found[0].score:
            found.append(topic)
    return found


def confidence(relevance: float, support: float, cited: int, dropped: int) -> float:
    """Confidence in an answer, 0–1: relevance × support × share of citations that held.

    The answer is right only if the passages answer the question (`relevance`, calibrated by
    retrieval) and the text says what they say (`support`, by the model's self-check); the
    product is their joint probability if they are independent, and errs on the low side if not.
    A model that cites passages that don't say so is trusted less in proportion. 0 without
    citations.
    """
    if cited == 0:
        return 0.0
    share = cited / (cited + dropped)
    return round(_unit(relevance) * _unit(support) * share, 4)


def _unit(value: float) -> float:
    # NaN compares false both ways and becomes 0.
    return min(value, 1.0) if value > 0 else 0.0
