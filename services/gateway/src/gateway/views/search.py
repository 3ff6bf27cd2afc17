"""The search lab: what each stage of retrieval made of a query."""

from dataclasses import dataclass

from fleetdesk.retrieval.v1 import document_pb2 as doc
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb

from gateway.views.format import percent
from gateway.views.frame import Badge, link


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which relevance an agent answers, and below which it hands over at once; 0–1."""

    agent_name: str
    answer: float
    handoff: float


@dataclass(frozen=True, slots=True)
class StageScore:
    """One stage's score of a passage; `move` is how many places the final order put it higher."""

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
class SearchLab:
    """A query with what was found; `verdict` is None before a query."""

    query: str
    hits: tuple[Hit, ...] = ()
    verdict: Verdict | None = None


def search_lab(query: str, response: pb.SearchResponse, thresholds: Thresholds | None) -> SearchLab:
    """The answer of retrieval as the lab shows it."""
    return SearchLab(
        query=query,
        hits=tuple(_hit(rank, result) for rank, result in enumerate(response.results, start=1)),
        verdict=verdict(response.relevance, thresholds, found=bool(response.results)),
    )


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


def _hit(rank: int, result: doc.SearchResult) -> Hit:
    scores = result.scores
    return Hit(
        rank=rank,
        title=result.title or "Untitled",
        headings=tuple(result.heading_path),
        text=result.text,
        href=link(f"/documents/{result.document_id}", chunk=result.chunk_id) + "#quote",
        stages=(
            _stage("BM25", scores, "bm25", rank),
            _stage("Dense", scores, "dense", rank),
            StageScore("Fused", f"{result.score:.3f}", rank),
        ),
    )


def _stage(label: str, scores: doc.Scores, name: str, final_rank: int) -> StageScore:
    if not scores.HasField(name):
        return StageScore(label, "not found")
    rank = getattr(scores, f"{name}_rank") if scores.HasField(f"{name}_rank") else None
    digits = 2 if name == "bm25" else 3
    score = f"{getattr(scores, name):.{digits}f}"
    return StageScore(label, score, rank, rank - final_rank if rank else 0)
