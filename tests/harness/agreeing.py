"""Whether receipts, ledger, costs, savings and the export say the same, to the nano-dollar."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

NANOS_PER_DOLLAR = 10**9


@dataclass(frozen=True, slots=True)
class Told:
    """What each place says of a tenant, by conversation ("" for what serves none) or in all."""

    receipts: Counter[str]
    costs: Counter[str]
    export: Counter[str]
    focus_nanos: int
    savings_nanos: int
    unconfirmed_nanos: int

    @property
    def agree(self) -> bool:
        """Whether all say the same; receipts are of messages, so not of what serves none."""
        total = self.export.total()
        of_messages = self.export - Counter({"": self.export[""]})
        return (
            self.costs == self.export
            and self.receipts == of_messages
            and self.focus_nanos == self.savings_nanos == total
        )


async def told(client: httpx.AsyncClient, **options: Any) -> Told:
    """Asks every place through the gateway's door; `options` are the requests'."""

    async def get(path: str, **params: str) -> httpx.Response:
        answer = await client.get(path, params=params, **options)
        assert answer.status_code == 200, answer.text
        return answer

    now = datetime.now(UTC)
    times = {
        "from": (now - timedelta(days=180)).isoformat(),
        "to": (now + timedelta(days=180)).isoformat(),
    }
    rows = _rows(await get("/v1/costs/export", **times))
    export: Counter[str] = Counter()
    for row in rows:
        export[row["conversation_id"]] += int(row["amount_nanos"])
    focus = _rows(await get("/v1/costs/export", format="focus", **times))
    costs = (await get("/v1/analytics/costs", group_by="conversation")).json()
    savings = (await get("/v1/analytics/savings", **times)).json()
    assert savings["baseline_nanos"] == sum(
        savings[f"{part}_nanos"]
        for part in ("actual", "routing", "prompt_caching", "response_cache", "frames")
    )
    receipts: Counter[str] = Counter()
    for conversation_id in filter(None, export):
        found = (await get(f"/v1/conversations/{conversation_id}")).json()
        for message in found["messages"]:
            receipts[conversation_id] += (message.get("receipt") or {}).get("total_nanos", 0)
    return Told(
        receipts=receipts,
        costs=Counter({group["key"]: group["amount_nanos"] for group in costs["groups"]}),
        export=export,
        focus_nanos=int(sum(Decimal(row["BilledCost"]) for row in focus) * NANOS_PER_DOLLAR),
        savings_nanos=savings["actual_nanos"],
        unconfirmed_nanos=savings["unconfirmed_nanos"],
    )


def _rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))
