"""Composes llm-gateway."""

from dataclasses import asdict
from datetime import timedelta

from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import (
    add_LlmGatewayServiceServicer_to_server,
)
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import (
    add_ModelSettingsServiceServicer_to_server,
)
from fleetkit import blas
from fleetkit.errors import FailedPrecondition
from fleetkit.logging import get_logger
from fleetkit.service import Runtime, cli
from fleetkit.telemetry import tracer
from fleetkit.vault import Vault

from llm_gateway import budgets, price_check, pricing, sweeper
from llm_gateway.api.model_settings import ModelSettingsApi
from llm_gateway.api.service import Answering, LlmGatewayApi, Once
from llm_gateway.attempts import Attempts, Patience
from llm_gateway.breaker import Breaker
from llm_gateway.caching.planner import Planner
from llm_gateway.caching.prefixes import PrefixCounts
from llm_gateway.complete import Completers
from llm_gateway.config import Settings
from llm_gateway.embed import Embedders
from llm_gateway.erasure import ERASURE
from llm_gateway.events import HANDLERS
from llm_gateway.ledger import Ledger
from llm_gateway.metering import Metering
from llm_gateway.minilm.artifact import weights_folder
from llm_gateway.models import Models
from llm_gateway.pair_cache import PairCache
from llm_gateway.prices import TenantPrices
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.providers import (
    Providers,
    configured,
    embed_providers,
    rerank_providers,
    usage_reports,
)
from llm_gateway.providers.keyed import KeyedProviders
from llm_gateway.providers.minilm import MiniLm
from llm_gateway.providers.rapidocr import RapidOcr
from llm_gateway.rapidocr_worker.reader import Reader
from llm_gateway.reconcile import Difference, reconcile
from llm_gateway.rerank import Rerankers
from llm_gateway.response_cache import CacheLimits, ResponseCache
from llm_gateway.see import Readers
from llm_gateway.store.reconciling import UnconfirmedRow
from llm_gateway.tenant_keys import TenantKeys, reseal_all
from llm_gateway.tenant_settings import TenantSettings
from llm_gateway.workers.child import ChildOptions
from llm_gateway.workers.pool import WorkerPool


def build(rt: Runtime) -> None:
    """Adds the RPCs, the workers, the sweeper, the event handlers and the commands.

    PriceBookError, ModelMissing or FailedPrecondition when the configuration cannot work.
    """
    settings: Settings = rt.settings
    blas.keep_to_one_thread()
    book = pricing.load(settings.price_book_file, settings.price_book_additions_file)
    decided = TenantSettings(rt.db)
    prices = TenantPrices(rt.db, rt.clock, book, decided)
    ledger = Ledger(rt.db, rt.clock, book, decided)
    embedder = _local_embedder(rt)
    providers = configured(settings, embedder, book)
    for provider in providers.answering.values():
        rt.on_close(provider.close)
    prefixes = PrefixCounts(rt.spawn)
    models = Models(providers.answering, book, rt.clock, settings.answer_model, prefixes)
    keys = _tenant_keys(rt, book, decided)
    tracing = tracer(settings.service, settings.otlp_endpoint)
    metering = Metering(ledger, rt.spawn, tracing)
    rerankers = _rerankers(rt, embedder, keys)
    patience = Patience(settings.attempt_first_text_s, settings.attempt_silence_s)
    planner = Planner(rt.db, rt.clock, prices)
    attempts = Attempts(metering, prefixes, planner, Breaker(), patience)
    once = _once(rt, providers, rerankers, prices, keys)
    embedders = _embedders(rt, embedder, keys)
    limits = CacheLimits(settings.response_cache_ttl_s, settings.response_cache_most)
    responses = ResponseCache(rt.db, rt.clock, ledger, rt.spawn, settings.answer_model, limits)
    answering = Answering(models, keys, attempts, responses)
    api = LlmGatewayApi(rt.db, rt.clock, metering, answering, embedders, once)
    rt.server.add(add_LlmGatewayServiceServicer_to_server, api)
    names = {*providers.answering, *providers.seeing, *rerankers.providers}
    settings_api = ModelSettingsApi(prices, keys, names, metering, attempts)
    rt.server.add(add_ModelSettingsServiceServicer_to_server, settings_api)
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.background(sweeper.sweep_forever(rt.db, ledger, settings.sweep_interval_s), "sweeper")
    rt.command("check-prices", lambda: _check_prices(rt, book, models, rerankers))
    rt.command("sweep", lambda: _sweep(rt, ledger))
    rt.command("reconcile", lambda: _reconcile(rt))
    rt.command("reseal-secrets", lambda: _reseal(rt, keys))
    rt.command("recount-budgets", lambda: _recount(rt))
    rt.schedule("forget-windows", timedelta(days=1), lambda: _forget_windows(rt))


def _tenant_keys(rt: Runtime, book: PriceBook, decided: TenantSettings) -> TenantKeys:
    settings: Settings = rt.settings
    vault = Vault.of(settings.secrets_key, rt.keyring)
    keyed = KeyedProviders(settings, book)
    rt.on_close(keyed.close)
    return TenantKeys(rt.db, rt.clock, vault, decided, keyed)


def _once(
    rt: Runtime,
    providers: Providers,
    rerankers: Rerankers,
    prices: TenantPrices,
    keys: TenantKeys,
) -> Once:
    """Readers of pictures, the local one among them, and providers of completions."""
    settings: Settings = rt.settings
    reader = Reader(
        settings.see_threads, settings.see_nice, settings.see_queue, settings.see_idle_s
    )
    rt.background(reader.end_when_idle(), "see_worker")
    rt.on_close(reader.close)
    providers.seeing["local"] = RapidOcr(reader)
    readers = Readers(
        providers.seeing, prices.book, rt.clock, keys, settings.see_model, settings.see_sight_model
    )
    for model in filter(None, (settings.see_model, settings.see_sight_model)):
        readers.of(model, {})
    default = settings.complete_model or settings.answer_model
    completers = Completers(providers.completing, prices.book, rt.clock, default)
    return Once(readers, rerankers, completers, prices)


def _rerankers(rt: Runtime, embedder: MiniLm | None, keys: TenantKeys) -> Rerankers:
    settings: Settings = rt.settings
    providers = rerank_providers(settings, embedder)
    for provider in providers.values():
        rt.on_close(provider.close)
    kept = PairCache(settings.rerank_pairs_kept)
    return Rerankers(providers, keys, settings.rerank_model, kept)


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "llm_gateway")


def _embedders(rt: Runtime, local: MiniLm | None, keys: TenantKeys) -> Embedders:
    settings: Settings = rt.settings
    hosted = embed_providers(settings)
    for provider in hosted.values():
        rt.on_close(provider.close)
    return Embedders(local, hosted, keys, settings.embed_model)


def _local_embedder(rt: Runtime) -> MiniLm | None:
    """The local model behind its workers, which start with the service; None without workers."""
    settings: Settings = rt.settings
    if not settings.embed_workers:
        return None
    options = ChildOptions(
        weights_folder(settings.minilm_dir),
        settings.model_cache_dir.resolve(),
        settings.minilm_precision,
        settings.embed_worker_nice,
    )
    pool = WorkerPool(options, settings.embed_workers, settings.embed_queue_texts)
    rt.background(_run_workers(pool), "workers")
    rt.health.add_check("workers", pool.is_ready)
    rt.on_close(pool.close)
    return MiniLm(pool, settings.embed_remembered_texts)


async def _run_workers(pool: WorkerPool) -> None:
    pool.start()
    await pool.wait_ready()
    get_logger().info("workers_ready", model_version=pool.version, worker_pids=pool.pids)


async def _check_prices(rt: Runtime, book: PriceBook, models: Models, rerankers: Rerankers) -> None:
    settings: Settings = rt.settings
    local = settings.embed_model.startswith("local/")
    unit = Unit.COMPUTE_US if local else Unit.EMBEDDING
    served = (
        [(settings.embed_model, frozenset({unit}))] if settings.embed_workers or not local else []
    )
    served.append((settings.see_model, frozenset({Unit.COMPUTE_US})))
    reranker = rerankers.providers.get(settings.rerank_model.partition("/")[0])
    if reranker is not None:
        served.append((settings.rerank_model, reranker.kinds))
    served += [
        (model.model, models.answering(model.model).provider.kinds) for model in models.listed({})
    ]
    for sentence in price_check.stale(book, rt.clock.now()):
        get_logger().warning("price_is_old", price=sentence)
    gaps = price_check.gaps(book, served)
    for sentence in gaps:
        get_logger().error("price_is_wrong", price=sentence)
    if gaps:
        raise FailedPrecondition(f"the price book {book.version} has {len(gaps)} gaps")
    get_logger().info("prices_are_complete", version=book.version, models=len(book.models))


async def _sweep(rt: Runtime, ledger: Ledger) -> None:
    swept = await sweeper.sweep_all(rt.db, ledger)
    get_logger().info("calls_swept", calls=swept)


async def _reconcile(rt: Runtime) -> None:
    settings: Settings = rt.settings
    reports = usage_reports.configured(settings)
    if not reports:
        raise FailedPrecondition(
            "set FLEETDESK_ANTHROPIC_ADMIN_KEY or FLEETDESK_OPENAI_ADMIN_KEY, keys that may read"
            " usage reports"
        )
    end = rt.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=settings.reconcile_days)
    differing: list[str] = []
    for provider, report in reports.items():
        found = await reconcile(rt.db, provider, await report(start, end), start, end)
        logger = get_logger().bind(provider=provider)
        for tenant_id, row in found.unconfirmed:
            logger.warning("usage_unconfirmed", tenant_id=str(tenant_id), **_told(row))
        for difference in found.differences:
            explained = difference.is_explained
            logger.error("usage_differs", **_told(difference), explained=explained)
        if found.agrees:
            logger.info("usage_agrees", start=str(start), end=str(end), compared=found.compared)
        else:
            differing.append(provider)
    if differing:
        raise FailedPrecondition(f"the ledger and the reports differ: {', '.join(differing)}")


def _told(row: UnconfirmedRow | Difference) -> dict[str, str | int]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in asdict(row).items()
    }


async def _reseal(rt: Runtime, keys: TenantKeys) -> None:
    resealed = await reseal_all(rt.db, keys)
    get_logger().info("secrets_resealed", secrets=resealed)


async def _recount(rt: Runtime) -> None:
    counted = await budgets.recount_all(rt.db, rt.clock)
    get_logger().info("budgets_recounted", windows=counted)


async def _forget_windows(rt: Runtime) -> None:
    forgotten = await budgets.forget_windows(rt.db, rt.clock)
    get_logger().info("windows_forgotten", windows=forgotten)
