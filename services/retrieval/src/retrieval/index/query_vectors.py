"""The vector of a query, by the model of the index that it is compared with.

Which model that is stands in the index, which is read while the query is embedded: so the model is
guessed from the tenant's last search, and the query embedded once more when the guess was wrong.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit import context
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger

from retrieval.index.embedding import Embedded, Embedder, name_of
from retrieval.store.rows import IndexStat

_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Made:
    """A query's vector by the model named; None, with the reason, when it was not had."""

    name: str
    embedded: Embedded | None
    reason: str = ""


class QueryVectors:
    """Embeds queries; `on_outdated` hears of indexes whose model is there in another version."""

    def __init__(
        self,
        embedder: Embedder,
        default_model: str,
        on_outdated: Callable[[UUID], Awaitable[None]],
    ) -> None:
        self._embedder = embedder
        self._default_model = default_model
        self._on_outdated = on_outdated
        self._names: OrderedDict[UUID, str] = OrderedDict()
        self._outdated: set[tuple[UUID, str]] = set()

    async def ahead(self, tenant_id: UUID, query: str) -> Made:
        """By the model that the tenant's index had at its last search."""
        return await self._made(query, self._names.get(tenant_id, self._default_model))

    async def fitting(self, tenant_id: UUID, query: str, made: Made, model: str) -> Made:
        """By the name of `model`, the index's: `made` where that is right, else made anew."""
        name = name_of(model) or self._default_model
        self._remember(tenant_id, name)
        return made if made.name == name else await self._made(query, name)

    async def comparable(self, tenant_id: UUID, made: Made, stat: IndexStat) -> Embedded | None:
        """The vector when it is of the index's model to the version, else None.

        The former version of a model can't be asked any more: words must do until the passages
        are embedded anew, which is then asked for, once.
        """
        if made.embedded is None or made.embedded.model == stat.model or not stat.chunk_count:
            return made.embedded
        outdated = tenant_id, made.embedded.model
        if outdated not in self._outdated:
            if len(self._outdated) >= _MOST_REMEMBERED:
                self._outdated.clear()
            self._outdated.add(outdated)
            await self._on_outdated(tenant_id)
        return None

    async def _made(self, query: str, name: str) -> Made:
        try:
            with as_search():
                return Made(name, await self._embedder.query(query, name))
        except FleetError as error:
            # A search without a vector is worth more than none.
            get_logger().warning("search_without_vector", reason=error.reason)
            return Made(name, None, error.reason)

    def _remember(self, tenant_id: UUID, name: str) -> None:
        self._names[tenant_id] = name
        self._names.move_to_end(tenant_id)
        if len(self._names) > _MOST_REMEMBERED:
            self._names.popitem(last=False)


def as_search() -> AbstractContextManager[object]:
    """The attribution of the caller where it has a purpose (a turn); else it is a search."""
    attribution = context.current().attribution
    if attribution.purpose:
        return nullcontext()
    return context.attributed(replace(attribution, purpose="search"))
