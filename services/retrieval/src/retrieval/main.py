"""Composes retrieval: constructs everything, serves, drains."""

from datetime import timedelta
from functools import partial

from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.retrieval.v1.evaluation_service_pb2_grpc import (
    add_EvaluationServiceServicer_to_server,
)
from fleetdesk.retrieval.v1.experiment_service_pb2_grpc import (
    add_ExperimentServiceServicer_to_server,
)
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import (
    add_RetrievalServiceServicer_to_server,
)
from fleetkit import blas
from fleetkit.fetch import AddressPolicy, Fetcher, FetchLimits
from fleetkit.service import Runtime, cli
from fleetkit.tokens import tokenizer_path

from retrieval.api.evaluations import EvaluationApi
from retrieval.api.experiments import ExperimentApi
from retrieval.api.service import RetrievalApi
from retrieval.config import Settings
from retrieval.erasure import ERASURE
from retrieval.evaluation.evaluations import EVALUATE
from retrieval.evaluation.running import Evaluations
from retrieval.events import HANDLERS
from retrieval.experiments import Experiments
from retrieval.index.embedding import Embedder
from retrieval.index.query_vectors import QueryVectors
from retrieval.index.reranking import Reranker
from retrieval.index.search import Searcher
from retrieval.index.weights import load_fusions, load_weights
from retrieval.knowledge import models
from retrieval.knowledge.conflicts import Comparison
from retrieval.knowledge.ingest import Ingest
from retrieval.knowledge.originals import SWEEP, Originals
from retrieval.knowledge.reembedding import Reembedding
from retrieval.knowledge.syncing import SiteSync, SyncLimits
from retrieval.knowledge.web import Web
from retrieval.knowledge.websites import sync_due
from retrieval.knowledge.work import COMPARE, INGEST, REEMBED, SYNC
from retrieval.parsing.dispatch import ParseLimits
from retrieval.parsing.pool import ParsingPool, PoolSettings
from retrieval.parsing.prepare import PrepareOptions

# Websites are read again at the hour or day, so a look every five minutes is often enough.
_SYNC_PERIOD = timedelta(minutes=5)
# A deployment's model changes with a restart, and a change that failed is tried again.
_REEMBED_PERIOD = timedelta(minutes=10)


def build(rt: Runtime) -> None:
    """Adds the servicer, the event handlers and the jobs to a runtime."""
    settings: Settings = rt.settings
    blas.keep_to_one_thread()
    llm_gateway = LlmGatewayServiceStub(rt.clients.channel("llm-gateway"))
    embedder = Embedder(
        llm_gateway,
        rt.db,
        passage_timeout_s=settings.embed_timeout_s,
        query_timeout_s=settings.query_embed_timeout_s,
    )
    originals = Originals(rt.db, rt.blobs)
    pool = ParsingPool(pool_settings(settings))
    rt.on_close(pool.close)
    ingest = Ingest(
        rt.db,
        originals,
        pool,
        embedder,
        prepare_options(settings),
        default_model=settings.embed_model,
        batch_size=settings.embed_batch_size,
    )
    rt.run_jobs(
        {INGEST: ingest.run, SWEEP: originals.sweep},
        concurrency=settings.ingest_concurrency,
        max_attempts=settings.ingest_max_attempts,
        on_dead=ingest.give_up,
        lease_s=settings.ingest_lease_s,
    )
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    sync = _site_sync(rt, settings, originals, pool)
    rt.run_jobs(
        {SYNC: sync.run},
        concurrency=settings.sync_concurrency,
        max_attempts=settings.ingest_max_attempts,
        on_dead=sync.give_up,
        lease_s=settings.ingest_lease_s,
    )
    rt.schedule("sync-websites", _SYNC_PERIOD, partial(sync_due, rt.db))
    _run_reembedding(rt, settings, embedder)
    comparison = Comparison(rt.db)
    rt.run_jobs({COMPARE: comparison.run}, concurrency=1, lease_s=settings.ingest_lease_s)
    reranker = Reranker(rt.db, llm_gateway, settings.rerank_model, settings.rerank_timeout_s)
    vectors = QueryVectors(embedder, settings.embed_model, partial(models.reembed, rt.db))
    searcher = Searcher(
        rt.db,
        vectors,
        load_weights(),
        reranker,
        candidates=settings.candidates,
        kept_bytes=settings.index_cache_bytes,
    )
    experiments = _experiments(rt, settings, llm_gateway)
    servicer = RetrievalApi(rt.db, originals, searcher, embedder, experiments, settings)
    rt.server.add(add_RetrievalServiceServicer_to_server, servicer)
    experiment_api = ExperimentApi(experiments, searcher.fusion_version)
    rt.server.add(add_ExperimentServiceServicer_to_server, experiment_api)
    _evaluate(rt, settings, searcher, llm_gateway)


def _experiments(
    rt: Runtime, settings: Settings, llm_gateway: "LlmGatewayServiceStub"
) -> Experiments:
    further = settings.experiment_rerank_models.split(",")
    models = {settings.rerank_model, *(model.strip() for model in further)} - {""}
    rerankers = {
        model: Reranker(rt.db, llm_gateway, model, settings.rerank_timeout_s) for model in models
    }
    return Experiments(rt.db, load_fusions(), rerankers)


def _evaluate(
    rt: Runtime, settings: Settings, searcher: Searcher, llm_gateway: "LlmGatewayServiceStub"
) -> None:
    reranker = Reranker(
        rt.db, llm_gateway, settings.rerank_model, settings.evaluation_rerank_timeout_s
    )
    evaluations = Evaluations(rt.db, searcher, reranker, turn_s=settings.evaluation_turn_s)
    rt.run_jobs(
        {EVALUATE: evaluations.run},
        concurrency=1,
        max_attempts=settings.ingest_max_attempts,
        on_dead=evaluations.give_up,
        lease_s=settings.ingest_lease_s,
    )
    rt.server.add(add_EvaluationServiceServicer_to_server, EvaluationApi(rt.db))


def _run_reembedding(rt: Runtime, settings: Settings, embedder: Embedder) -> None:
    reembedding = Reembedding(
        rt.db,
        embedder,
        settings.embed_model,
        batch_size=settings.embed_batch_size,
        turn_s=settings.reembed_turn_s,
    )
    # One at a time: what people wait for, new documents, has the model first.
    rt.run_jobs(
        {REEMBED: reembedding.run},
        concurrency=1,
        max_attempts=settings.ingest_max_attempts,
        on_dead=reembedding.give_up,
        lease_s=settings.ingest_lease_s,
    )
    rt.schedule(
        "reembed-knowledge",
        _REEMBED_PERIOD,
        partial(models.reembed_changed, rt.db, settings.embed_model),
    )


def _site_sync(
    rt: Runtime, settings: Settings, originals: Originals, pool: ParsingPool
) -> SiteSync:
    fetcher = Fetcher(
        AddressPolicy.parse(settings.fetch_allow),
        user_agent="FleetdeskBot/1.0 (reads help pages for their owner)",
        limits=FetchLimits(total_s=settings.fetch_timeout_s, max_bytes=settings.max_page_bytes),
    )
    rt.on_close(fetcher.close)
    web = Web(fetcher, pool, pause_s=settings.fetch_pause_s, max_pause_s=settings.fetch_max_pause_s)
    limits = SyncLimits(settings.sync_total_s, settings.sync_turn_s)
    return SiteSync(rt.db, originals, web, limits)


def pool_settings(settings: Settings) -> PoolSettings:
    """The pool of parsing workers as configured."""
    return PoolSettings(
        tokenizer_file=tokenizer_path(settings.tokenizer_file),
        workers=settings.parse_workers,
        memory_bytes=settings.parse_memory_bytes,
        stall_s=settings.parse_stall_s,
        total_s=settings.parse_total_s,
    )


def prepare_options(settings: Settings) -> PrepareOptions:
    """The limits that every document has."""
    limits = ParseLimits(settings.max_document_chars, settings.max_document_pages)
    return PrepareOptions(limits=limits)


def main() -> None:
    """The command line."""
    cli(Settings, build, "retrieval")
