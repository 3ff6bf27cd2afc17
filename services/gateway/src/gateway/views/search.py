"""The search lab: what each stage of retrieval made of a query."""

from dataclasses import dataclass, replace

from fleetdesk.conversation.v1.agent_service_pb2 import ListAgentsResponse
from fleetdesk.retrieval.v1 import document_pb2 as doc
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb

from gateway.views.format import percent
from gateway.views.frame import Badge, link
from gateway.views.past_questions import PastQuestions


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which relevance an agent answers, and below which it hands over at once; 0–1.

    `draft` is from which its draft does; `agents` are all that are published, by id and name.
    """

    agent_name: str
    answer: float
    handoff: float
    agent_id: str = ""
    draft: float = 0.0
    agents: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StageScore:
    """One stage's score of a passage; `move` is how many places the next stage put it higher."""

    label: str
    score: str
    rank: int | None = None
    move: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage found."""

    rank: int
    title: str
    headings: tuple[str, ...]
    text: str
    href: str
    stages: tuple[StageScore, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the agent would do with these passages; `thresholds` may be unknown."""

    badge: Badge
    sentence: str
    relevance: float
    thresholds: Thresholds | None


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the lab searches; `threshold` in percent, None for the agent's own."""

    rerank: bool = True
    top_k: int = 10
    threshold: int | None = None


@dataclass(frozen=True, slots=True)
class SearchLab:
    """A query with what was found; `verdict` is None before a query.

    `threshold` is where the slider stands, in percent; `notice` says why nothing was reranked;
    `past` is what it makes of the agent's past questions, None when no agent is published.
    """

    query: str
    knobs: Knobs = Knobs()
    threshold: int = 50
    own_threshold: int | None = None
    hits: tuple[Hit, ...] = ()
    verdict: Verdict | None = None
    notice: str = ""
    agent: Thresholds | None = None
    past: PastQuestions | None = None

    @property
    def draft_threshold(self) -> int | None:
        """From how many per cent the agent's draft answers, where that is not yet published."""
        draft = round(100 * self.agent.draft) if self.agent else None
        return draft if draft != self.own_threshold else None


_NOT_RERANKED = {
    "NO_TOKEN_VECTORS": "Not reranked: some passages were read before the reranker was there. Sync"
    " their documents.",
    "RERANK_TIMEOUT": "Not reranked: the reranker was too slow. This is the fused order.",
}


def threshold_of(thresholds: Thresholds | None, knobs: Knobs) -> int:
    """Where the slider stands: where it was put, or else at the agent's own; in percent."""
    if knobs.threshold is not None:
        return knobs.threshold
    return round(100 * thresholds.answer) if thresholds else 50


def search_lab(
    query: str,
    response: pb.SearchResponse | None,
    thresholds: Thresholds | None,
    knobs: Knobs | None = None,
    past: PastQuestions | None = None,
) -> SearchLab:
    """The answer of retrieval as the lab shows it; None before a query."""
    knobs = knobs or Knobs()
    own = round(100 * thresholds.answer) if thresholds else None
    lab = SearchLab(
        query=query,
        knobs=knobs,
        threshold=threshold_of(thresholds, knobs),
        own_threshold=own,
        agent=thresholds,
        past=past,
    )
    if response is None:
        return lab
    moved = knobs.threshold is not None and knobs.threshold != own
    judged = _moved(thresholds, (knobs.threshold or 0) / 100) if moved else thresholds
    hits = (
        _hit(rank, result, reranked=response.reranked)
        for rank, result in enumerate(response.results, start=1)
    )
    return replace(
        lab,
        hits=tuple(hits),
        verdict=verdict(response.relevance, judged, found=bool(response.results)),
        notice=_notice(response),
    )


def _notice(response: pb.SearchResponse) -> str:
    if not response.rerank_reason:
        return ""
    failed = "Not reranked: the reranker failed. This is the fused order."
    return _NOT_RERANKED.get(response.rerank_reason, failed)


def _moved(thresholds: Thresholds | None, answer: float) -> Thresholds:
    """The agent with another threshold for answering."""
    if thresholds is None:
        return Thresholds("an agent", answer, min(0.3, answer))
    return Thresholds(thresholds.agent_name, answer, min(thresholds.handoff, answer))


def verdict(relevance: float, thresholds: Thresholds | None, *, found: bool) -> Verdict:
    """What the agent would do, in a sentence."""
    if not found:
        badge = Badge("Would hand over", "headset", "warn")
        sentence = "No passage shares anything with this question."
        return Verdict(badge, sentence, relevance, thresholds)
    likely = f"{percent(relevance)} likely that these passages answer it"
    if thresholds is None:
        badge = Badge(percent(relevance), "info")
        return Verdict(badge, f"{likely.capitalize()}.", relevance, None)
    name, answer = thresholds.agent_name, percent(thresholds.answer)
    if relevance >= thresholds.answer:
        badge = Badge("Would answer", "circle-check", "good")
        sentence = f"{likely}; {name} answers from {answer}."
    elif relevance >= thresholds.handoff:
        badge = Badge("Would ask back or hand over", "circle-question-mark", "warn")
        sentence = (
            f"{likely}; {name} answers from {answer}. Below that it asks back when two topics"
            " compete, and hands over otherwise."
        )
    else:
        badge = Badge("Would hand over", "headset", "warn")
        sentence = f"Only {likely}; {name} hands over below {percent(thresholds.handoff)}."
    return Verdict(badge, sentence, relevance, thresholds)


def _hit(rank: int, result: doc.SearchResult, *, reranked: bool) -> Hit:
    scores = result.scores
    fused = _stage("Fused", f"{scores.fused:.3f}", scores.fused_rank, rank)
    last = StageScore("Reranked", f"{scores.rerank:.3f}", rank) if reranked else None
    if reranked and not scores.HasField("rerank"):
        last = StageScore("Reranked", "not among 20")
    return Hit(
        rank=rank,
        title=result.title or "Untitled",
        headings=tuple(result.heading_path),
        text=result.text,
        href=link(f"/documents/{result.document_id}", chunk=result.chunk_id) + "#quote",
        stages=(
            _stage("BM25", f"{scores.bm25:.2f}", scores.bm25_rank, scores.fused_rank),
            _stage("Dense", f"{scores.dense:.3f}", scores.dense_rank, scores.fused_rank),
            fused,
            last or StageScore("Reranked", "off"),
        ),
    )


def _stage(label: str, score: str, rank: int, next_rank: int) -> StageScore:
    """A stage's score; ranks begin at 1, so 0 says that the stage did not find the passage."""
    if not rank:
        return StageScore(label, "not found")
    return StageScore(label, score, rank, rank - next_rank)


def thresholds_of(found: ListAgentsResponse, agent_id: str = "") -> Thresholds | None:
    """Those of an agent, or of the oldest published one; None when none is published."""
    published = [item for item in found.agents if item.HasField("published")]
    if not published:
        return None
    agent = next((item for item in published if item.agent_id == agent_id), published[0])
    config = agent.published
    usual = found.default_answer_threshold_millis
    answer = config.answer_threshold_millis or usual
    handoff = config.handoff_threshold_millis or found.default_handoff_threshold_millis
    return Thresholds(
        config.name,
        answer / 1000,
        min(answer, handoff) / 1000,
        agent.agent_id,
        (agent.draft.answer_threshold_millis or usual) / 1000,
        tuple((each.agent_id, each.published.name) for each in published),
    )
