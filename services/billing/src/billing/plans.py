"""The plans, from plans.toml."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fleetkit.errors import NotFound

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tenant can subscribe to; see plans.toml for the meaning of −1."""

    plan_id: str
    display_name: str
    seat_month_nanos: int
    max_seats: int
    resolutions_per_seat: int
    resolutions_per_tenant: int
    voice_minutes: int
    video_minutes: int
    knowledge_bytes: int
    api_calls_per_hour: int
    resolution_overage_nanos: int
    voice_minute_overage_nanos: int
    video_minute_overage_nanos: int
    gigabyte_month_overage_nanos: int
    branding: bool
    public: bool


@dataclass(frozen=True, slots=True)
class PlanBook:
    """One version of the plans, in the order of the file: cheapest first."""

    version: str
    plans: tuple[Plan, ...]

    def get(self, plan_id: str) -> Plan:
        """The plan; NotFound naming the plans there are."""
        for plan in self.plans:
            if plan.plan_id == plan_id:
                return plan
        known = ", ".join(plan.plan_id for plan in self.plans)
        raise NotFound(f"there is no plan {plan_id!r}; use one of: {known}", field="plan_id")

    def public(self) -> tuple[Plan, ...]:
        """The plans shown on the pricing page."""
        return tuple(plan for plan in self.plans if plan.public)


@cache
def load_plans() -> PlanBook:
    """The book shipped with the service; TypeError when a plan lacks a field or has another."""
    data = tomllib.loads(files("billing").joinpath("plans.toml").read_text("utf-8"))
    return PlanBook(data["version"], tuple(Plan(**plan) for plan in data["plan"]))
