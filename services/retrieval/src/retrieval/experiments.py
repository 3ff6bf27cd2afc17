"""Experiments: another fusion or reranker for a share of the conversations."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetdesk.retrieval.v1.events_pb2 import SearchAssigned
from fleetkit import context
from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from fleetkit.events.outbox import publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.index.reranking import Reranker
from retrieval.index.search import Variant
from retrieval.index.weights import FusionWeights
from retrieval.knowledge.inputs import check_request_id
from retrieval.parsing.document import one_line
from retrieval.store import experiments as store
from retrieval.store.experiments import ExperimentRow

SHARES = (10, 50, 100)
NO_RERANKING = "none"
_LISTED = 100
# How long a change in another replica may go unnoticed.
_FRESH_S = 5.0
_MOST_KNOWN = 10_000
_MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Trial:
    """What somebody wants to try, on which share."""

    name: str
    fusion_version: str
    rerank_model: str
    share_percent: int


class Experiments:
    """A tenant's experiments; `fusions` and `rerankers` are what can be tried."""

    def __init__(
        self,
        db: Database,
        fusions: Mapping[str, FusionWeights],
        rerankers: Mapping[str, Reranker],
    ) -> None:
        self._db = db
        self._fusions = fusions
        self._rerankers = rerankers
        self._known: dict[UUID, tuple[float, ExperimentRow | None]] = {}

    @property
    def fusion_versions(self) -> Sequence[str]:
        """Versions of fusions that can be tried."""
        return sorted(self._fusions)

    @property
    def rerank_models(self) -> Sequence[str]:
        """Rerankers that can be tried."""
        return [*sorted(self._rerankers), NO_RERANKING]

    async def start(self, tenant_id: UUID, request_id: str, trial: Trial) -> ExperimentRow:
        """Begins one; the errors are those that the RPC names."""
        check_request_id(request_id)
        name = self._checked(trial)
        fingerprint = hashlib.sha256(repr(trial).encode()).digest()
        async with self._db.tenant(tenant_id) as conn:
            await store.lock_tenant(conn, tenant_id)
            known = await store.find_by_request(conn, tenant_id, request_id)
            if known is not None:
                return _same(known, fingerprint)
            if await store.running(conn, tenant_id) is not None:
                raise FailedPrecondition(
                    "another experiment runs: stop it first", reason="EXPERIMENT_RUNNING"
                )
            now = conn.now()
            row = ExperimentRow(
                experiment_id=new_id(),
                name=name,
                fusion_version=trial.fusion_version,
                rerank_model=trial.rerank_model,
                share_percent=trial.share_percent,
                running=True,
                create_time=now,
                change_time=now,
                end_time=None,
                request_sha256=fingerprint,
            )
            await store.insert(conn, tenant_id, row, request_id)
        self._known.pop(tenant_id, None)
        return row

    async def set_share(
        self, tenant_id: UUID, experiment_id: UUID, share_percent: int
    ) -> ExperimentRow:
        """Another share for one that runs; conversations that tried it go on trying it."""
        _check_share(share_percent)
        async with self._db.tenant(tenant_id) as conn:
            row = await _existing(conn, tenant_id, experiment_id)
            if not row.running:
                raise FailedPrecondition(
                    "the experiment has ended: start another one", reason="EXPERIMENT_STOPPED"
                )
            await store.set_share(conn, tenant_id, experiment_id, share_percent, conn.now())
            changed = await _existing(conn, tenant_id, experiment_id)
        self._known.pop(tenant_id, None)
        return changed

    async def stop(self, tenant_id: UUID, experiment_id: UUID) -> ExperimentRow:
        """Ends it, unless it has ended."""
        async with self._db.tenant(tenant_id) as conn:
            await _existing(conn, tenant_id, experiment_id)
            await store.stop(conn, tenant_id, experiment_id, conn.now())
            stopped = await _existing(conn, tenant_id, experiment_id)
        self._known.pop(tenant_id, None)
        return stopped

    async def list_experiments(self, tenant_id: UUID) -> list[ExperimentRow]:
        """The last ones, newest first."""
        async with self._db.tenant(tenant_id) as conn:
            return await store.list_experiments(conn, tenant_id, _LISTED)

    async def variant(self, tenant_id: UUID) -> Variant | None:
        """How the search at hand is done; None for as usual.

        The search of a turn is told to be of its arm, by event. Other searches take no part.
        """
        work = context.current().attribution
        if work.purpose != "turn" or not (work.conversation_id and work.message_id):
            return None
        row = await self._running(tenant_id)
        if row is None:
            return None
        tries = is_challenger(row.experiment_id, work.conversation_id, row.share_percent)
        event = SearchAssigned(
            experiment_id=str(row.experiment_id),
            challenger=tries,
            message_id=str(work.message_id),
            conversation_id=str(work.conversation_id),
        )
        async with self._db.tenant(tenant_id) as conn:
            await publish(conn, event, revision=1)
        return self._variant(row) if tries else None

    async def _running(self, tenant_id: UUID) -> ExperimentRow | None:
        """The one that runs, as of the last five seconds: hardly any tenant has one."""
        now = time.monotonic()
        fresh_until, row = self._known.get(tenant_id, (0.0, None))
        if now < fresh_until:
            return row
        async with self._db.tenant(tenant_id) as conn:
            row = await store.running(conn, tenant_id)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[tenant_id] = (now + _FRESH_S, row)
        return row

    def _variant(self, row: ExperimentRow) -> Variant:
        """What it tries; what this version no longer has is as usual."""
        return Variant(
            fusion=self._fusions.get(row.fusion_version),
            reranker=self._rerankers.get(row.rerank_model),
            no_reranking=row.rerank_model == NO_RERANKING,
        )

    def _checked(self, trial: Trial) -> str:
        name = one_line(trial.name)
        if not name or len(name.encode()) > _MAX_NAME_BYTES:
            raise InvalidArgument(f"name has 1 to {_MAX_NAME_BYTES} bytes", field="name")
        if trial.fusion_version and trial.fusion_version not in self._fusions:
            raise _unknown("fusion_version", self.fusion_versions)
        if trial.rerank_model and trial.rerank_model not in self.rerank_models:
            raise _unknown("rerank_model", self.rerank_models)
        if not (trial.fusion_version or trial.rerank_model):
            raise InvalidArgument("name a fusion or a reranker to try", field="fusion_version")
        _check_share(trial.share_percent)
        return name


def is_challenger(experiment_id: UUID, conversation_id: UUID, share_percent: int) -> bool:
    """Whether a conversation tries it: of a larger share those of the smaller one, and others."""
    digest = hashlib.sha256(experiment_id.bytes + conversation_id.bytes).digest()
    return int.from_bytes(digest[:8], "big") % 10_000 < share_percent * 100


def _check_share(share_percent: int) -> None:
    if share_percent not in SHARES:
        raise InvalidArgument("share_percent is 10, 50 or 100", field="share_percent")


def _same(known: ExperimentRow, fingerprint: bytes) -> ExperimentRow:
    if known.request_sha256 != fingerprint:
        raise AlreadyExists(
            "this request_id was used for another request: choose a new one for each request",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    return known


def _unknown(field: str, known: Sequence[str]) -> InvalidArgument:
    return InvalidArgument(f"{field} is one of {', '.join(known)}", field=field)


async def _existing(conn: FleetConnection, tenant_id: UUID, experiment_id: UUID) -> ExperimentRow:
    row = await store.get(conn, tenant_id, experiment_id)
    if row is None:
        raise NotFound(
            "there is no such experiment", field="experiment_id", reason="EXPERIMENT_NOT_FOUND"
        )
    return row
