"""Which model serves a request: names, defaults, and the providers that are configured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fleetkit.clock import Clock
from fleetkit.errors import FailedPrecondition, InvalidArgument
from fleetkit.logging import get_logger

from llm_gateway.estimate import TierEstimate, bound, largest
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.question import AnswerProvider, Question
from llm_gateway.tenant_settings import OwnPrice

MOST_TIERS = 3


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """A model that can answer here: as "provider/model", and its provider."""

    name: str
    provider: AnswerProvider

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
    ) -> None:
        self._providers = providers
        self._book = book
        self._clock = clock
        self._default = default
        self.answering(default)

    def answering(self, requested: str) -> AnswerModel:
        """The model named, or the default for "".

        InvalidArgument for a name without a provider, FailedPrecondition for a provider that is
        not configured (PROVIDER_NOT_CONFIGURED) and a model without prices (UNPRICED_MODEL).
        """
        name = requested or self._default
        provider_name, slash, model = name.partition("/")
        if not slash or not model:
            raise InvalidArgument(
                "model is named provider/model, for example local/extractive", field="model"
            )
        provider = self._providers.get(provider_name)
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
        return AnswerModel(name, provider)

    def ladder(self, requested: Sequence[str]) -> list[Tier]:
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
                tiers.append(Tier(number, self.answering(name)))
            except FailedPrecondition as found:
                error = error or found
                get_logger().warning("tier_left_out", model=name, reason=found.reason)
        if not tiers and error is not None:
            raise error
        return tiers

    def estimates(
        self,
        requested: Sequence[str],
        agent: Question,
        own: Mapping[str, OwnPrice],
        *,
        screen: bool,
    ) -> list[TierEstimate]:
        """The most that each attempt of an agent's turn can cost; errors as of `ladder`.

        An answer costs at most their sum: no attempt is made twice. `own` prices hold.
        """
        asked = largest(agent, screen=screen)
        made: list[TierEstimate] = []
        for tier in self.ladder(requested):
            at_most = tier.model.provider.at_most(replace(asked, model=tier.model.model))
            name = tier.model.name
            period = self._book.period(name, self._clock.now(), at_most)
            period = own[name].period if name in own else period
            most_nanos = bound(period, at_most, cached=agent.prompt_caching)
            made.append(TierEstimate(tier.tier, name, most_nanos))
        return made

    def listed(self, own: Mapping[str, OwnPrice]) -> list[ListedModel]:
        """Every model that can answer here, the default first, then by name; `own` prices hold."""
        now = self._clock.now()
        listed: list[ListedModel] = []
        for name, priced in self._book.models.items():
            provider = self._providers.get(name.partition("/")[0])
            period = priced.period(now)
            if provider is None or priced.serves != "answer" or period is None:
                continue
            holding = own[name].period if name in own else period
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
