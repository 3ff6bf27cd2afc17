"""Which model serves a request: names, defaults, and the providers that are configured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit.clock import Clock
from fleetkit.errors import FailedPrecondition, InvalidArgument
from fleetkit.logging import get_logger

from llm_gateway.caching.prefixes import PrefixCounts
from llm_gateway.estimate import TierEstimate, bound, largest
from llm_gateway.ledger import Attempt
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.providers.keyed import KeyedProvider
from llm_gateway.question import AnswerProvider, Question
from llm_gateway.tenant_settings import OwnPrice

MOST_TIERS = 3
# Providers by a tenant's own keys, by name.
Own = Mapping[str, KeyedProvider]
_NONE: Own = {}


def paying(model: str, own: Own) -> Attempt:
    """A call to "provider/model" outside of any ladder, and by whose key it goes."""
    return Attempt(paid_by="tenant" if model.partition("/")[0] in own else "fleet")


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """A model that can answer here: as "provider/model", and its provider.

    `is_own` says that the provider works by a key of the tenant's own.
    """

    name: str
    provider: AnswerProvider
    is_own: bool = False

    @property
    def model(self) -> str:
        """The provider's own name of it."""
        return self.name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Tier:
    """A model of a ladder and its place there, from 1."""

    tier: int
    model: AnswerModel


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model with today's prices, of the shortest prompts."""

    model: str
    is_default: bool
    input_nanos_per_million: int
    output_nanos_per_million: int
    unit: str


class Models:
    """The models of a fleet, by "provider/model"; `default` must be one of them."""

    def __init__(
        self,
        providers: Mapping[str, AnswerProvider],
        book: PriceBook,
        clock: Clock,
        default: str,
        prefixes: PrefixCounts,
    ) -> None:
        self._prefixes = prefixes
        self._providers = providers
        self._book = book
        self._clock = clock
        self._default = default
        self.answering(default)

    def answering(self, requested: str, own: Own = _NONE) -> AnswerModel:
        """The model named, or the default for ""; by a tenant's `own` provider where it has one.

        InvalidArgument for a name without a provider, FailedPrecondition for a provider that is
        not configured (PROVIDER_NOT_CONFIGURED) and a model without prices (UNPRICED_MODEL).
        """
        name = requested or self._default
        provider_name, slash, model = name.partition("/")
        if not slash or not model:
            raise InvalidArgument(
                "model is named provider/model, for example local/extractive", field="model"
            )
        keyed = own.get(provider_name)
        provider = keyed.answering if keyed else self._providers.get(provider_name)
        if provider is None:
            raise FailedPrecondition(
                f"the provider of {name} is not configured here; configured: "
                f"{', '.join(sorted(self._providers))}",
                field="model",
                reason="PROVIDER_NOT_CONFIGURED",
            )
        self._book.period(name, self._clock.now(), provider.kinds)
        if self._book.models[name].serves != "answer":
            raise InvalidArgument(f"{name} does not answer questions", field="model")
        return AnswerModel(name, provider, keyed is not None)

    def ladder(self, requested: Sequence[str], own: Own = _NONE) -> list[Tier]:
        """The models named, at most three and none twice, in order; those that can answer here.

        What an agent was allowed may have gone since: a model that cannot answer any more is left
        out with a warning, unless it is the only one, whose error passes.
        """
        if len(requested) > MOST_TIERS:
            raise InvalidArgument(
                f"next_models has more than {MOST_TIERS - 1} models", field="next_models"
            )
        names = [name or self._default for name in requested]
        if len(set(names)) < len(names):
            raise InvalidArgument("a model stands twice in next_models", field="next_models")
        tiers: list[Tier] = []
        error: FailedPrecondition | None = None
        for number, name in enumerate(names, start=1):
            try:
                tiers.append(Tier(number, self.answering(name, own)))
            except FailedPrecondition as found:
                error = error or found
                get_logger().warning("tier_left_out", model=name, reason=found.reason)
        if not tiers and error is not None:
            raise error
        return tiers

    def estimates(
        self,
        tenant_id: UUID,
        requested: Sequence[str],
        agent: Question,
        prices: Mapping[str, OwnPrice],
        own: Own,
        *,
        screen: bool,
    ) -> list[TierEstimate]:
        """The most that each attempt of an agent's turn can cost; errors as of `ladder`.

        An answer costs at most their sum: no attempt is made twice. The tenant's own `prices` hold.
        """
        asked = largest(agent, screen=screen)
        made: list[TierEstimate] = []
        for tier in self.ladder(requested, own):
            name, provider = tier.model.name, tier.model.provider
            prefix_tokens = self._prefixes.tokens(tenant_id, name, provider, asked)
            asked = replace(asked, model=tier.model.model, prefix_tokens=prefix_tokens)
            at_most = provider.at_most(asked)
            period = self._book.period(name, self._clock.now(), at_most)
            period = prices[name].period if name in prices else period
            most_nanos = bound(period, at_most, cached=agent.prompt_caching)
            made.append(TierEstimate(tier.tier, name, most_nanos))
        return made

    def listed(self, own_prices: Mapping[str, OwnPrice], own: Own = _NONE) -> list[ListedModel]:
        """Every model that can answer here, the default first, then by name.

        `own_prices` hold, and models of `own` providers can, too.
        """
        now = self._clock.now()
        listed: list[ListedModel] = []
        for name, priced in self._book.models.items():
            provider = name.partition("/")[0]
            period = priced.period(now)
            if (
                not (provider in self._providers or provider in own)
                or priced.serves != "answer"
                or period is None
            ):
                continue
            holding = own_prices[name].period if name in own_prices else period
            prices = holding.tiers[0].prices
            compute = prices.get(Unit.COMPUTE_US)
            listed.append(
                ListedModel(
                    name,
                    name == self._default,
                    prices.get(Unit.INPUT, 0) if compute is None else compute,
                    prices.get(Unit.OUTPUT, 0),
                    "token" if compute is None else "compute_us",
                )
            )
        return sorted(listed, key=lambda model: (not model.is_default, model.model))
