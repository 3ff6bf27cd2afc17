"""What answers cost: the ledger's rows, asked for, never kept here."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1.usage_pb2 import Receipt, UsageEntry
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from fleetkit.rpc.retry import retry_idempotent

from conversation.deps import Neighbours

_TIMEOUT_S = 2.0
_LATE_TRIES = 6
_LATE_WAIT_S = 0.1
_PAGE = 1000


async def receipt_of_message(
    neighbours: Neighbours, message_id: UUID, *, answer_begun: bool = False
) -> Receipt | None:
    """The receipt of one message; None when the ledger does not answer.

    The query's embedding, which retrieval caused under the same message, is in it. With
    `answer_begun` it waits a moment for the row of an answer that was cut short, which
    llm-gateway settles only after the cut.
    """
    request = llm_pb.ListUsageRequest(message_id=str(message_id), page_size=_PAGE)
    try:
        items = [item async for item in _items(neighbours, request)]
        for _ in range(_LATE_TRIES if answer_begun else 0):
            if any(item.service == "conversation" for item in items):
                break
            await asyncio.sleep(_LATE_WAIT_S)
            items = [item async for item in _items(neighbours, request)]
    except FleetError as error:
        get_logger().warning("receipt_unavailable", error=type(error).__name__)
        return None
    return _receipt(items)


async def receipts_of_conversation(
    neighbours: Neighbours, conversation_id: UUID
) -> dict[str, Receipt]:
    """The receipts of all messages of a conversation by message id; Unavailable passes."""
    request = llm_pb.ListUsageRequest(conversation_id=str(conversation_id), page_size=_PAGE)
    by_message: dict[str, list[UsageEntry]] = {}
    async for item in _items(neighbours, request):
        by_message.setdefault(item.message_id, []).append(item)
    return {message_id: _receipt(items) for message_id, items in by_message.items()}


async def _items(
    neighbours: Neighbours, request: llm_pb.ListUsageRequest
) -> AsyncIterator[UsageEntry]:
    while True:
        page = await retry_idempotent(
            lambda: neighbours.llm_gateway.ListUsage(request, timeout=_TIMEOUT_S)
        )
        for item in page.items:
            yield item
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _receipt(items: Iterable[UsageEntry]) -> Receipt:
    listed = list(items)
    return Receipt(total_nanos=sum(item.amount_nanos for item in listed), items=listed)
