"""Whether the visitor asks again, in other words, what a model has answered before.

Then that answer did not help, and this turn begins one model further up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger

from conversation.store.messages import MessageRow

# Cosine of MiniLM's vectors. `python -m tests.eval.rephrased`: of questions that have the intent
# of an earlier one by somebody else it notices 53 % (banking77) and 34 % (clinc150), and takes 4 %
# and 1 % of the others for one; repeating oneself is closer than that. Where it errs, a dearer
# model answers, or the same one once more.
THRESHOLD = 0.60
_EARLIER = 3
_MAX_CHARS = 2_000
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the visitor, and the tier of the model that answered it, from 1."""

    text: str
    tier: int


def answered(recent: Sequence[MessageRow]) -> list[Asked]:
    """The visitor's last questions that a model answered, newest first."""
    tiers = {row.question_id: row.tier for row in recent if row.role == "agent" and row.tier}
    found = [
        Asked(row.text[:_MAX_CHARS], tiers[row.message_id])
        for row in recent
        if row.message_id in tiers
    ]
    return found[::-1][:_EARLIER]


async def first_tier(
    llm_gateway: LlmGatewayServiceStub, text: str, recent: Sequence[MessageRow], models: int
) -> int:
    """The attempt to begin with: one above that of the answer asked for again; 0 without one.

    0 too with a single model, and when the texts could not be compared.
    """
    before = answered(recent) if models > 1 else []
    if not before:
        return 0
    texts = [text[:_MAX_CHARS], *(asked.text for asked in before)]
    request = llm_pb.EmbedRequest(texts=texts, kind=llm_pb.EMBED_KIND_QUERY)
    try:
        response = await llm_gateway.Embed(request, timeout=_TIMEOUT_S)
    except FleetError as error:
        get_logger().warning("rephrasing_not_checked", error=type(error).__name__)
        return 0
    now, *earlier = (each.values for each in response.embeddings)
    again = [
        asked.tier
        for asked, vector in zip(before, earlier, strict=True)
        if math.fsum(a * b for a, b in zip(now, vector, strict=True)) >= THRESHOLD
    ]
    return min(max(again) + 1, models) if again else 0
