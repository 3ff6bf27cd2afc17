"""Bodies of budgets. Amounts are integer nano-dollars."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fleetdesk.llm_gateway.v1 import budget_pb2, llm_gateway_service_pb2
from msgspec import Meta, Struct

from gateway.shapes.common import (
    described,
    label_of,
    optional_id,
    optional_time,
    time_of,
    value_of,
)

Level = Literal["tenant", "agent", "conversation", "visitor"]
Period = Literal["day", "month"]
LimitNanos = Annotated[int, Meta(ge=1, le=10**17)]


class Budget(Struct, frozen=True):
    """A limit; without `target_id` it is the tenant's, or each agent's, … by itself."""

    budget_id: UUID
    level: str | None
    target_id: UUID | None
    period: str | None
    limit_nanos: int
    hard: bool
    create_time: datetime

    @classmethod
    def of(cls, budget: budget_pb2.Budget) -> "Budget":
        """From the proto."""
        return cls(
            budget_id=UUID(budget.budget_id),
            level=label_of(budget_pb2.BudgetLevel, budget.level, "BUDGET_LEVEL_"),
            target_id=optional_id(budget.target_id),
            period=label_of(budget_pb2.BudgetPeriod, budget.period, "BUDGET_PERIOD_"),
            limit_nanos=budget.limit_nanos,
            hard=budget.hard,
            create_time=time_of(budget.create_time),
        )


class BudgetWindow(Struct, frozen=True):
    """The current day or month of one target; `start_date` is in the tenant's time zone.

    `reserved_nanos` is the most that calls in flight can add, `left_nanos` the limit less both,
    `forecast_nanos` what will be spent by the end at the rate so far. `warned_percent` is the
    highest warning given: 0, 80, 90 or 100.
    """

    target_id: UUID | None
    start_date: str
    start_time: datetime
    end_time: datetime
    spent_nanos: int
    reserved_nanos: int
    left_nanos: int
    forecast_nanos: int
    warned_percent: int
    refuse_time: datetime | None

    @classmethod
    def of(cls, window: budget_pb2.BudgetWindow, limit_nanos: int) -> "BudgetWindow":
        """From the proto."""
        return cls(
            target_id=optional_id(window.target_id),
            start_date=window.start_date,
            start_time=time_of(window.start_time),
            end_time=time_of(window.end_time),
            spent_nanos=window.spent_nanos,
            reserved_nanos=window.reserved_nanos,
            left_nanos=max(limit_nanos - window.spent_nanos - window.reserved_nanos, 0),
            forecast_nanos=window.forecast_nanos,
            warned_percent=window.warned_percent,
            refuse_time=optional_time(window, "refuse_time"),
        )


class BudgetStatus(Struct, frozen=True):
    """A budget and what of it is used: of its current windows the 20 with the most spent."""

    budget: Budget
    windows: list[BudgetWindow]
    window_count: int

    @classmethod
    def of(cls, status: budget_pb2.BudgetStatus) -> "BudgetStatus":
        """From the proto."""
        limit_nanos = status.budget.limit_nanos
        windows = [BudgetWindow.of(window, limit_nanos) for window in status.windows]
        return cls(Budget.of(status.budget), windows, status.window_count)


class BudgetList(Struct, frozen=True):
    """All budgets, oldest first, and the time zone in which their days and months begin."""

    items: list[BudgetStatus]
    time_zone: str


class CreateBudgetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to limit. A hard budget refuses the call that could exceed it, a soft one only warns."""

    level: Level
    period: Period
    limit_nanos: LimitNanos
    hard: bool
    target_id: UUID | None = None

    def message(self, request_id: UUID) -> llm_gateway_service_pb2.CreateBudgetRequest:
        """As the proto."""
        return llm_gateway_service_pb2.CreateBudgetRequest(
            request_id=str(request_id),
            level=value_of(budget_pb2.BudgetLevel, self.level, "BUDGET_LEVEL_", "level"),
            target_id=str(self.target_id or ""),
            period=value_of(budget_pb2.BudgetPeriod, self.period, "BUDGET_PERIOD_", "period"),
            limit_nanos=self.limit_nanos,
            hard=self.hard,
        )


class UpdateBudgetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The limit from now on, and whether it refuses; what else is given has to be as it is."""

    limit_nanos: LimitNanos
    hard: bool
    level: Level | None = None
    period: Period | None = None
    target_id: UUID | None = None

    def message(self, budget_id: UUID) -> llm_gateway_service_pb2.UpdateBudgetRequest:
        """As the proto."""
        return llm_gateway_service_pb2.UpdateBudgetRequest(
            budget_id=str(budget_id),
            limit_nanos=self.limit_nanos,
            hard=self.hard,
            level=value_of(budget_pb2.BudgetLevel, self.level, "BUDGET_LEVEL_", "level"),
            period=value_of(budget_pb2.BudgetPeriod, self.period, "BUDGET_PERIOD_", "period"),
            target_id=str(self.target_id or ""),
        )


class TimeZone(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the tenant's days and months begin, by its IANA name, such as "Europe/Berlin"."""

    time_zone: Annotated[
        str,
        described(pattern="^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"),
        Meta(min_length=1, max_length=64),
    ]
