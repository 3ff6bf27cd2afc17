"""The embedding model: the one in use, the others with what a change to them takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb_models
from fleetdesk.retrieval.v1 import index_pb2 as pb

from gateway.views.format import Money, about, count, money, price_per_million
from gateway.views.frame import Badge, link
from gateway.views.progress import Progress, Step, progress_of

_MILLION = 1_000_000
_PER = {"embedding_token": "a million tokens", "compute_us": "a CPU second"}
_STOPPED = {
    "PROVIDER_NOT_CONFIGURED": "The model does not embed here any more.",
    "BUDGET_EXHAUSTED": "A budget for models is used up.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that embeds, or could. `cost` and `takes` are of embedding all passages by it.

    `embed_model` is what choosing it sends: "" for the deployment's. `href` is "" where it can't be
    chosen, or is in use.
    """

    model: str
    embed_model: str
    badge: Badge
    price: str
    cost: Money | None
    takes: str
    arithmetic: str
    href: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is under way; `model` is the one that serves meanwhile."""

    sentence: str
    error: str
    model: str


@dataclass(frozen=True, slots=True)
class EmbeddingPage:
    """The page."""

    headline: str
    progress: Progress
    change: Change | None
    choices: tuple[Choice, ...]
    self_href: str


def embedding_page(
    index: pb.KnowledgeIndex, prices: Sequence[pb_models.ModelPrice], now: datetime
) -> EmbeddingPage:
    """The models that embed, the one in use first, then those set up, each by name."""
    serving, target = _name(index.serving_model), _name(index.target_model)
    in_use = serving or index.embed_model or index.default_model
    known = {price.model: price for price in prices if price.serves == "embed"}
    # A model without a price may still be in use.
    for model in (in_use, target):
        if model:
            known.setdefault(model, pb_models.ModelPrice(model=model, is_configured=True))
    ordered = sorted(
        known.values(),
        key=lambda price: (price.model != in_use, not price.is_configured, price.model),
    )
    passages = count(index.chunk_count, "passage")
    return EmbeddingPage(
        headline=f"Knowledge is searched by {in_use}: {passages} can be found."
        if index.chunk_count
        else f"Knowledge will be searched by {in_use}: there is none yet.",
        progress=progress_of(
            (Step("Embedded", index.embedded_count, index.chunk_count, "passage"),),
            is_busy=index.changing,
            ended=f"Knowledge is searched by {in_use}.",
        ),
        change=_change(index, serving, target, now) if index.changing else None,
        choices=tuple(_choice(index, price, in_use, target) for price in ordered),
        self_href="/knowledge/embedding",
    )


def _choice(
    index: pb.KnowledgeIndex, price: pb_models.ModelPrice, in_use: str, target: str
) -> Choice:
    model = price.model
    passage_us = index.passage_us.get(model, 0)
    kind, nanos = next(iter(price.tiers[0].prices.items())) if price.tiers else ("", 0)
    tokens = index.chunk_count * index.passage_tokens
    units = tokens if kind == "embedding_token" else index.chunk_count * passage_us
    may_be_chosen = price.is_configured and model != in_use
    return Choice(
        model=model,
        embed_model="" if model == index.default_model else model,
        badge=_badge(price, in_use, target),
        price=f"{price_per_million(nanos)} {_PER.get(kind, 'a million units')}" if kind else "",
        cost=money(units * nanos // _MILLION) if units and kind else None,
        takes=about(index.chunk_count * passage_us / _MILLION) if passage_us else "",
        arithmetic=f"{count(index.chunk_count, 'passage')} of about"
        f" {count(index.passage_tokens, 'token')}",
        href=link("/knowledge/embedding/change", model=model) if may_be_chosen else "",
    )


def _badge(price: pb_models.ModelPrice, in_use: str, target: str) -> Badge:
    if price.model == in_use:
        return Badge("In use", "circle-check", "good")
    if price.model == target:
        return Badge("Being changed to", "loader-circle", "busy")
    if price.is_configured:
        return Badge("Can be chosen", "plus")
    return Badge("Not set up", "circle-stop")


def _change(index: pb.KnowledgeIndex, serving: str, target: str, now: datetime) -> Change:
    missing = index.chunk_count - index.embedded_count
    spent_s = 0.0
    if index.HasField("begin_time"):
        spent_s = (now - index.begin_time.ToDatetime(tzinfo=UTC)).total_seconds()
    left = ""
    if index.embedded_count and missing > 0 and spent_s > 0:
        left = f", about {about(spent_s * missing / index.embedded_count)} left"
    return Change(
        sentence=f"Passages are being embedded by {target}{left}. Searches go on with {serving}"
        " until all have their vector; then they go over at once.",
        error=_error(index.error_reason),
        model=serving,
    )


def _error(reason: str) -> str:
    if not reason:
        return ""
    said = _STOPPED.get(reason, f"The model failed ({reason.replace('_', ' ').lower()}).")
    return f"{said} Nothing is lost; it is tried again every ten minutes."


def _name(model: str) -> str:
    """The "provider/model" of a "provider/model@version"."""
    return model.partition("@")[0]
