"""Answering one turn: gather, decide, and let the model write or say it ourselves."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetkit.errors import ResourceExhausted, Unavailable
from fleetkit.logging import get_logger
from fleetkit.telemetry import counter

from conversation import observations
from conversation.citations import Citation, verified
from conversation.decision import (
    DOUBTFUL,
    Answer,
    AskBack,
    Chat,
    Decision,
    Evidence,
    HandOver,
    confidence,
    decide_from_evidence,
    decide_from_text,
    rules_of,
)
from conversation.deps import Deps, Neighbours
from conversation.followups import names_nothing, points_nowhere, standalone
from conversation.gathering import Gathered, gather
from conversation.intents import is_one_word, language_of
from conversation.presets import instructions_for
from conversation.replies import ask_back, reply, reply_naming
from conversation.store import messages
from conversation.store import observations as store
from conversation.store.messages import MessageRow
from conversation.turn import Turn, TurnResult
from conversation.writer import TurnWriter

_RECENT = 20
_MAX_QUESTION_BYTES = 16_000


class Answering:
    """The answering of one turn.

    `asked`: whether neighbours were called, which may have cost something; `answer_begun`: whether
    a model was called to write.
    """

    def __init__(self, deps: Deps, turn: Turn, writer: TurnWriter) -> None:
        self._deps = deps
        self._turn = turn
        self._writer = writer
        self.asked = False
        self.answer_begun = False

    async def run(self) -> TurnResult:
        """Writes the answer and says what it came to.

        Errors of retrieval and llm-gateway pass; what was written until then stays written.
        """
        turn = self._turn
        recent, screen = await self._recent()
        earlier = [row.text for row in reversed(recent) if row.role == "visitor"]
        language = language_of([turn.text, *earlier])
        rules = rules_of(turn.config, self._deps.settings)
        decision = decide_from_text(turn.text, rules, earlier)
        if decision is not None:
            return self._say(decision, language)
        self.asked = True
        asked_back = _asked_back(recent)
        question = _question(turn, earlier, asked_back)
        focus = observations.focus(question, screen)
        gathered = await gather(
            self._deps.neighbours,
            turn,
            question,
            recent,
            focus,
            rerank=self._deps.settings.rerank_turns,
        )
        evidence = Evidence(
            gathered.relevance,
            gathered.topics,
            gathered.entitled,
            asked_back,
            # Lines of the visitor's screen say what "it" is.
            points_nowhere=not gathered.focus and points_nowhere(turn.text, earlier),
            one_word=not gathered.focus and is_one_word(turn.text),
            places=gathered.places,
        )
        decision = decide_from_evidence(evidence, rules)
        if isinstance(decision, Answer):
            return await self._write(question, gathered, language, screen)
        return self._say(decision, language, gathered)

    async def _recent(self) -> tuple[list[MessageRow], str]:
        """What was said lately, and what the visitor's shared screen says now."""
        turn, db = self._turn, self._deps.db
        recent = await messages.recent_messages(
            db, turn.tenant_id, turn.conversation_id, turn.number, _RECENT
        )
        if not turn.config.screen_sharing:
            return recent, ""
        screen = await store.find_observation(
            db, turn.tenant_id, turn.conversation_id, observations.MAX_AGE_S
        )
        return recent, screen

    def _say(
        self, decision: Decision, language: str, gathered: Gathered | None = None
    ) -> TurnResult:
        """Says what needs no model."""
        relevance = gathered.relevance if gathered else 0.0
        passages = gathered.passages if gathered else ()
        match decision:
            case Chat(kind):
                name = self._turn.config.name.strip()
                self._writer.add(reply(kind, language, name=name))
                return TurnResult("answered", confidence=1.0, counts=False)
            case AskBack(topics, vague):
                self._writer.add(ask_back(topics, language, vague=vague))
                return TurnResult("clarify", passages=passages, relevance=relevance)
            case HandOver(reason):
                # Pages were found, and no sentence in them: the visitor may look there meanwhile.
                places = gathered.places if gathered and reason == "low_confidence" else ()
                self._writer.add(reply_naming(reason, places, language))
                return TurnResult(
                    "handoff", handoff_reason=reason, passages=passages, relevance=relevance
                )
            case Answer():
                raise AssertionError("an answer is written by a model")

    async def _write(
        self, question: str, gathered: Gathered, language: str, screen: str
    ) -> TurnResult:
        """Has the model answer from the passages, and checks its citations."""
        citations: list[Citation] = []
        try:
            completed = await self._stream(
                _request(self._turn, question, gathered, screen), citations
            )
        except ResourceExhausted as error:
            if self._writer.text or not error.reason.startswith("BUDGET"):
                raise
            return self._say(HandOver("usage_limit"), language, gathered)
        if completed.finish_reason == llm_pb.FINISH_REASON_UNSUPPORTED:
            said = self._say(HandOver("low_confidence"), language, gathered)
            return _by_model(said, completed)
        titled = [_titled(citation, gathered) for citation in citations]
        kept, dropped = verified(titled, gathered.passages, self._writer.text)
        _report_dropped(dropped)
        result = TurnResult(
            "answered",
            citations=tuple(kept),
            passages=gathered.passages,
            confidence=confidence(gathered.relevance, completed.support, len(kept), dropped),
            relevance=gathered.relevance,
        )
        partial = completed.finish_reason == llm_pb.FINISH_REASON_PARTIAL
        if not kept or partial:
            # It was streamed before anybody could know: say so, and have a person look at it.
            note = "partial_note" if kept else "unsure_note"
            self._writer.add(f"\n\n{reply(note, language)}")
            result = replace(
                result, outcome="handoff", handoff_reason="low_confidence", confidence=0.0
            )
        elif result.confidence < DOUBTFUL:
            self._writer.add(f"\n\n{reply('doubtful_note', language)}")
        return _by_model(result, completed)

    async def _stream(
        self, request: llm_pb.AnswerRequest, citations: list[Citation]
    ) -> llm_pb.AnswerCompleted:
        self.answer_begun = True
        async with aclosing(_pieces(self._deps.neighbours, request)) as pieces:
            async for piece in pieces:
                if piece.HasField("delta"):
                    self._writer.add(piece.delta.text)
                elif piece.HasField("citation"):
                    citations.append(_citation(piece.citation))
                elif piece.HasField("completed"):
                    return piece.completed
        raise Unavailable("the answer broke off", reason="ANSWER_TRUNCATED")


async def _pieces(
    neighbours: Neighbours, request: llm_pb.AnswerRequest
) -> AsyncGenerator[llm_pb.AnswerResponse, None]:
    """The stream of an answer; ended at llm-gateway too when this is closed."""
    stream = neighbours.llm_gateway.Answer(request)
    try:
        async for piece in stream:
            yield piece
    finally:
        stream.cancel()


def _asked_back(recent: Sequence[MessageRow]) -> bool:
    """Whether the agent's last message asked back."""
    last = next((row for row in reversed(recent) if row.role == "agent"), None)
    return last is not None and last.outcome == "clarify"


def _question(turn: Turn, earlier: Sequence[str], asked_back: bool) -> str:
    """What to look up: a question that leans on another together with that one.

    After asking back it leans on the question before, whatever it says; but where that one names
    nothing, joining the two would find worse.
    """
    if not asked_back or not earlier:
        return standalone(turn.text, earlier)
    if names_nothing(earlier[0], earlier[1:]):
        return turn.text
    joined = f"{earlier[0]}\n{turn.text}"
    return joined if len(joined.encode()) <= _MAX_QUESTION_BYTES else turn.text


def _request(turn: Turn, question: str, gathered: Gathered, screen: str) -> llm_pb.AnswerRequest:
    config = turn.config
    return llm_pb.AnswerRequest(
        model=config.model,
        instructions=instructions_for(config),
        history=gathered.history,
        passages=[
            llm_pb.Passage(
                chunk_id=passage.chunk_id,
                document_id=passage.document_id,
                title=passage.title,
                heading_path=passage.heading_path,
                text=passage.text,
                score=passage.score,
            )
            for passage in gathered.passages
        ],
        question=question,
        max_tokens=config.max_tokens,
        temperature_millis=config.temperature_millis,
        prompt_caching=config.prompt_caching,
        screen_text=screen[: observations.MAX_SCREEN_CHARS],
        screen_focus=gathered.focus,
        response_cache=config.response_cache,
        next_models=config.next_models,
        first_tier=gathered.first_tier,
        relevance_millis=round(gathered.relevance * 1000),
        difficult_share_millis=config.difficult_share_millis,
    )


def _citation(citation: llm_pb.Citation) -> Citation:
    return Citation(
        document_id=citation.document_id,
        chunk_id=citation.chunk_id,
        title="",
        url="",
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        answer_start=citation.answer_start,
        answer_end=citation.answer_end,
    )


def _titled(citation: Citation, gathered: Gathered) -> Citation:
    """The citation with title and link of the passage that it names."""
    for passage in gathered.passages:
        if passage.chunk_id == citation.chunk_id:
            return replace(citation, title=passage.title, url=passage.url)
    return citation


def _by_model(result: TurnResult, completed: llm_pb.AnswerCompleted) -> TurnResult:
    # An llm-gateway from before the ladder says 0.
    tier = max(completed.tier, 1)
    return replace(result, tier=tier, model=completed.model, call_id=completed.call_id)


def _report_dropped(dropped: int) -> None:
    if dropped:
        get_logger().warning("citations_dropped", count=dropped)
        counter(
            "fleetdesk_conversation_citations_dropped_total",
            "Citations whose quote does not stand in the passage.",
        ).inc(dropped)
