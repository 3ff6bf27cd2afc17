"""What 1,000 conversations cost: one dear model without a cache, and the defaults.

`python -m tests.eval.bill [--conversations 1000] [--seed 1]` makes up a mix of conversations
(`MIX`), the same for every line, and prices every call by the ledger's own code at the shipped
price book. Prompt caching is planned by llm-gateway's planner and carried out by the fake's prefix
cache. Each line is a bill of its own, reckoned from its calls: no percentages are added up.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes.prefix_cache import PrefixCache
from fleetkit.ids import new_id
from llm_gateway import pricing
from llm_gateway.caching.habits import Growth, chances
from llm_gateway.caching.plan import NO_MARKS, CachePrices, Marks, Sizes, best_marks
from llm_gateway.entries import Meter, Prices, entries_of
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.store.caching import Use
from llm_gateway.store.ledger import CallRow

from .workbench import table

DEAR, CHEAP, BETTER = (f"anthropic/claude-{name}-5-5" for name in ("opus", "haiku", "sonnet"))
LOCAL, EMBED, OCR = "local/extractive", "local/all-minilm-l6-v2", "local/rapidocr"
BEGINS = datetime(2026, 11, 30, 8, tzinfo=UTC)
MIX = """\
a conversation every 3 minutes on average, with 1-6 questions (30, 25, 20, 12, 8, 5 %), 45 s apart
in the middle; one half by an agent with 60 tokens of instructions, the other with 4,500; 5 passages
of 160 tokens; questions of 15-60 tokens, answers of 60-220; a history of at most 10 messages; 20 %
of questions are difficult; 10 % of first questions were asked before, word for word; 15 % of
conversations share a screen for 1-4 minutes, a frame of 1920x1080 a second, of which 8 % show
something new"""
_QUESTIONS = {1: 30, 2: 25, 3: 20, 4: 12, 5: 8, 6: 5}
_INSTRUCTIONS_TOKENS = (60, 4_500)
_PASSAGE_TOKENS, _PASSAGES = 160, 5
_DIFFICULT, _REPEATED, _SHARING, _NEW = 0.2, 0.1, 0.15, 0.08
_WINDOW_MESSAGES = 10
_BYTES_PER_TOKEN = 4
# The rules and the tool that the provider's request has beside the agent's words.
_RULES_TOKENS = 250
# Seen on this product (README of llm-gateway): CPU of a query, of an answer, of reading a region
# and a whole frame, in microseconds.
_EMBED_US, _ANSWER_US, _REGION_US, _FRAME_US = 5_000, 100_000, 99_000, 1_868_000
# What is written of a frame by a model that sees, and asked of it.
_SEEN_TOKENS, _ASKED_TOKENS = 150, 200
_CONVERSATIONS, _SEED = 1_000, 1


@dataclass(frozen=True, slots=True)
class Question:
    """A question at a time, with what stands before it; `repeats` names one that is the same."""

    at_s: float
    conversation_id: UUID
    agent: int
    history: tuple[str, ...]
    text: str
    answer_tokens: int
    difficult: bool
    repeats: int | None


@dataclass(frozen=True, slots=True)
class Screen:
    """A shared screen: its frames, and how many of them show something new."""

    frames: int
    new: int


@dataclass(frozen=True, slots=True)
class Way:
    """A way to serve the mix: which model answers, and what is on."""

    name: str
    model: str = CHEAP
    difficult_model: str = ""
    caching: bool = True
    answers_again: bool = False
    every_frame: bool = False


WAYS = (
    Way(
        "(a) Opus 5.5 for everything, no cache, every frame", DEAR, caching=False, every_frame=True
    ),
    Way("only new frames are read, by the local reader", DEAR, caching=False),
    Way("and Haiku 5.5 answers", CHEAP, caching=False),
    Way("(b) the defaults: and prompt caching as planned", CHEAP),
    Way("(b) and Sonnet 5.5 for the difficult", CHEAP, BETTER),
    Way("(b) and answers given again", CHEAP, answers_again=True),
    Way("no key at all: everything local", LOCAL, caching=False),
)


@dataclass(slots=True)
class Bill:
    """Nano-dollars by what they were for."""

    answers: int = 0
    cached: int = 0
    screens: int = 0
    other: int = 0
    calls: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.answers + self.screens + self.other


def mix(conversations: int, seed: int) -> tuple[list[Question], list[Screen]]:
    """The questions in order of time, and the screens."""
    rng = random.Random(seed)
    questions: list[Question] = []
    screens: list[Screen] = []
    begins_s = 0.0
    for _ in range(conversations):
        begins_s += rng.expovariate(1 / 180)
        questions += _conversation(rng, begins_s)
        if rng.random() < _SHARING:
            frames = rng.randint(60, 240)
            screens.append(Screen(frames, max(1, round(frames * _NEW))))
    questions.sort(key=lambda each: each.at_s)
    return [_repeating(rng, questions, number) for number in range(len(questions))], screens


def _conversation(rng: random.Random, at_s: float) -> Iterator[Question]:
    conversation_id, agent = UUID(int=rng.getrandbits(128)), rng.randrange(2)
    said: list[str] = []
    (count,) = rng.choices(list(_QUESTIONS), list(_QUESTIONS.values()))
    for _ in range(count):
        text = _text(rng, rng.randint(15, 60))
        answer_tokens = rng.randint(60, 220)
        history = tuple(said[-_WINDOW_MESSAGES:])
        difficult = rng.random() < _DIFFICULT
        yield Question(at_s, conversation_id, agent, history, text, answer_tokens, difficult, None)
        said += [text, _text(rng, answer_tokens)]
        at_s += rng.lognormvariate(3.8, 0.7)


def _repeating(rng: random.Random, questions: Sequence[Question], number: int) -> Question:
    """One in ten first questions is the same as an earlier first one of its agent."""
    one = questions[number]
    if one.history or rng.random() >= _REPEATED:
        return one
    earlier = [
        at for at in range(number) if not questions[at].history and questions[at].agent == one.agent
    ]
    return replace(one, repeats=rng.choice(earlier)) if earlier else one


def _text(rng: random.Random, tokens: int) -> str:
    return rng.randbytes(tokens * _BYTES_PER_TOKEN // 2).hex()


class Till:
    """Prices calls as the ledger does."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book

    def paid(self, model: str, units: Mapping[Unit, int], at: datetime) -> int:
        """What a call costs that used these units."""
        provider, _, name = model.partition("/")
        row = CallRow(
            call_id=new_id(),
            tenant_id=new_id(),
            create_time=at,
            service="conversation",
            operation="answer",
            provider=provider,
            model=name,
            purpose="turn",
            message_id=None,
            conversation_id=None,
            agent_id=None,
            visitor_id=None,
            knowledge_document_id=None,
            price_book_version=self._book.version,
            reserved=[],
            reserved_nanos=0,
            tier=1,
            tier_reason="",
        )
        prices = Prices(self._book.period(model, at), self._book.baseline(model, at))
        meter = Meter(begun=True, complete=True, units=dict(units))
        return sum(entry.amount_nanos for entry in entries_of(row, prices, meter))


class Caching:
    """One model's prompts: planned as llm-gateway plans, kept as the provider keeps."""

    def __init__(self, book: PriceBook, model: str, *, on: bool) -> None:
        minimum = book.facts(model).cache_minimum_tokens
        self._model, self._minimum = model, minimum if on else None
        prices = book.period(model, BEGINS).tiers[0]
        self._prices = CachePrices(
            prices.price(Unit.INPUT),
            prices.price(Unit.CACHE_READ),
            {"5m": prices.price(Unit.CACHE_WRITE_5M), "1h": prices.price(Unit.CACHE_WRITE_1H)},
        )
        self._now_s = 0.0
        self._kept = PrefixCache(lambda: self._now_s, minimum or 1)
        self._growth = Growth()
        self._uses: tuple[list[Use], list[Use]] = ([], [])

    def prompt(self, asked: Question) -> dict[Unit, int]:
        """The prompt's tokens by how they are paid."""
        self._now_s = asked.at_s
        body = _body(self._model, asked, self._marks(asked))
        usage = self._kept.look_up("one", body)
        self._kept.write("one", usage)
        units = {
            Unit.INPUT: usage.input,
            Unit.CACHE_READ: usage.read,
            Unit.CACHE_WRITE_5M: usage.written_5m,
            Unit.CACHE_WRITE_1H: usage.written_1h,
        }
        return {kind: count for kind, count in units.items() if count}

    def _marks(self, asked: Question) -> Marks:
        if self._minimum is None:
            return NO_MARKS
        now, uses = BEGINS + timedelta(seconds=asked.at_s), self._uses[asked.agent]
        turns = self._growth.note(asked.conversation_id, asked.history, now)
        kept = sum(len(text) for text in asked.history[:turns]) // _BYTES_PER_TOKEN
        likely = chances(uses[-500:], now)
        grows = self._growth.share(len(asked.history))
        likely = replace(likely, history={t: q * grows for t, q in likely.history.items()})
        uses.append(Use(now, asked.conversation_id))
        stable = _INSTRUCTIONS_TOKENS[asked.agent] + _RULES_TOKENS
        history = sum(len(text) for text in asked.history) // _BYTES_PER_TOKEN
        marks = best_marks(Sizes(stable, history, self._minimum, kept), likely, self._prices)
        if marks.history is not None:
            self._growth.marked(asked.conversation_id, marks.history, now)
        return marks


def _body(model: str, asked: Question, marks: Marks) -> dict[str, object]:
    def block(text: str, ttl: str | None = None) -> dict[str, object]:
        control = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
        return {"type": "text", "text": text, **control}

    rules = "r" * (_RULES_TOKENS * _BYTES_PER_TOKEN)
    words = "w" * (_INSTRUCTIONS_TOKENS[asked.agent] * _BYTES_PER_TOKEN)
    passages = "p" * (_PASSAGE_TOKENS * _PASSAGES * _BYTES_PER_TOKEN)
    messages = [
        {
            "role": "assistant" if number % 2 else "user",
            "content": [block(text, marks.history if text is asked.history[-1] else None)],
        }
        for number, text in enumerate(asked.history)
    ]
    messages.append({"role": "user", "content": [block(passages), block(asked.text)]})
    return {
        "model": model.partition("/")[2],
        "system": [block(rules), block(words, marks.stable)],
        "messages": messages,
    }


def bill(way: Way, questions: Sequence[Question], screens: Sequence[Screen]) -> Bill:
    """What serving the mix costs this way."""
    book = pricing.load()
    till, made = Till(book), Bill()
    names = [name for name in (way.model, way.difficult_model) if name and name != LOCAL]
    prompts = {name: Caching(book, name, on=way.caching) for name in names}
    for asked in questions:
        at = BEGINS + timedelta(seconds=asked.at_s)
        made.other += till.paid(EMBED, {Unit.COMPUTE_US: _EMBED_US}, at)
        if way.answers_again and asked.repeats is not None:
            continue
        made.calls += 1
        if way.model == LOCAL:
            made.answers += till.paid(LOCAL, {Unit.COMPUTE_US: _ANSWER_US}, at)
            continue
        model = way.difficult_model if asked.difficult and way.difficult_model else way.model
        units = prompts[model].prompt(asked)
        made.cached += units.get(Unit.CACHE_READ, 0)
        made.answers += till.paid(model, {**units, Unit.OUTPUT: asked.answer_tokens}, at)
    for screen in screens:
        made.screens += _screen(way, till, book, screen)
    return made


def _screen(way: Way, till: Till, book: PriceBook, screen: Screen) -> int:
    if not way.every_frame:
        first = till.paid(OCR, {Unit.COMPUTE_US: _FRAME_US}, BEGINS)
        return first + (screen.new - 1) * till.paid(OCR, {Unit.COMPUTE_US: _REGION_US}, BEGINS)
    picture = book.facts(way.model).image_tokens
    if picture is None:
        raise LookupError(f"{way.model} takes no pictures")
    units = {
        Unit.IMAGE: picture.of(1920, 1080),
        Unit.INPUT: _ASKED_TOKENS,
        Unit.OUTPUT: _SEEN_TOKENS,
    }
    return screen.frames * till.paid(way.model, units, BEGINS)


def main() -> None:
    """Prints the bills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=_CONVERSATIONS)
    parser.add_argument("--seed", type=int, default=_SEED)
    options = parser.parse_args()
    questions, screens = mix(options.conversations, options.seed)
    frames = sum(screen.frames for screen in screens)
    print(
        f"{options.conversations:,} conversations, {len(questions):,} questions, {frames:,} frames"
        f" of {len(screens)} screens, seed {options.seed}; price book {pricing.load().version}\n"
    )
    rows: list[list[str]] = []
    most = 0
    for way in WAYS:
        made = bill(way, questions, screens)
        most = most or made.total
        rows.append(
            [
                way.name,
                f"{made.calls:,}",
                f"{made.cached:,}",
                *(_usd(each) for each in (made.answers, made.screens, made.other, made.total)),
                _usd(made.total // options.conversations),
                f"{made.total / most:.2%}",
            ]
        )
    header = ["bill", "answers", "tokens read from cache", "answers $", "screens $", "search $"]
    print(table([*header, "total $", "a conversation $", "of (a)"], rows))


def _usd(nanos: int) -> str:
    return f"{nanos // 10**9:,}.{nanos % 10**9 // 1000:06d}"


if __name__ == "__main__":
    main()
