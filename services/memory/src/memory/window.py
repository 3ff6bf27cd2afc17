"""The conversation window: the last messages that fit, for the next answer to build on.

It moves in steps. A message that does not fit any more leaves it half full, so that what an
answering model is sent begins alike for some turns, and its provider's prompt cache can serve it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit.postgres import Database
from fleetkit.tokens import TokenCounter

from memory import store
from memory.store import TurnRow

# Counting so much takes less than handing it to a thread does.
_SHORT_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """Messages, oldest first, and the sum of their tokens."""

    turns: tuple[TurnRow, ...]
    token_count: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The most messages and tokens of a window."""

    messages: int
    tokens: int

    @property
    def lower(self) -> "Limits":
        """The half that a window goes back to when it is full."""
        return Limits(self.messages // 2, self.tokens // 2)

    def hold(self, messages: int, tokens: int) -> bool:
        """Whether so much is within both."""
        return messages <= self.messages and tokens <= self.tokens


async def record_turns(
    db: Database,
    tokens: TokenCounter,
    tenant_id: UUID,
    conversation_id: UUID,
    visitor_id: UUID | None,
    turns: Sequence[TurnRow],
) -> set[UUID]:
    """Stores messages but those that are known or were cleared before they came; which were new."""
    counted = [await _counted(tokens, turn) for turn in turns]
    return await store.insert_turns(db, tenant_id, conversation_id, visitor_id, counted)


async def get_context(
    db: Database,
    tokens: TokenCounter,
    tenant_id: UUID,
    conversation_id: UUID,
    pending: Sequence[TurnRow],
    limits: Limits,
) -> Window:
    """The window with `pending` merged in: turns that `record_turns` has not been given yet."""
    stored, cleared = await store.find_window(db, tenant_id, conversation_id, limits.messages)
    known = {turn.message_id for turn in stored}
    late = [
        await _counted(tokens, turn)
        for turn in pending
        if turn.message_id not in known and not (cleared and turn.create_time <= cleared)
    ]
    return fit([*stored, *late], limits, tokens)


async def clear_conversation(db: Database, tenant_id: UUID, conversation_id: UUID) -> int:
    """Forgets a conversation's window, also what still arrives of it; returns how many messages."""
    async with db.tenant(tenant_id) as conn:
        await store.lock_window(conn, tenant_id, conversation_id)
        await store.mark_cleared(conn, tenant_id, conversation_id)
        return await store.delete_turns(conn, tenant_id, conversation_id)


def fit(turns: Sequence[TurnRow], limits: Limits, tokens: TokenCounter) -> Window:
    """The newest messages that fit both limits, oldest first, without a hole between them.

    Which of them is told from all `turns`, the conversation from its beginning: a window begins
    where it has begun before until a message does not fit, and then so late that it is half full
    at most. A newest message that alone is too long is cut to the limit, since a window without
    the last thing said would be worse.
    """
    ordered = sorted(turns, key=lambda turn: (turn.create_time, turn.message_id))
    sizes = [min(turn.token_count, limits.tokens) for turn in ordered]
    begin = held = 0
    for index, size in enumerate(sizes):
        held += size
        if limits.hold(index + 1 - begin, held):
            continue
        while begin < index and not limits.lower.hold(index + 1 - begin, held):
            held -= sizes[begin]
            begin += 1
    kept = [
        turn if turn.token_count <= limits.tokens else _cut(turn, limits.tokens, tokens)
        for turn in ordered[begin:]
    ]
    return Window(tuple(kept), held)


def _cut(turn: TurnRow, limit: int, tokens: TokenCounter) -> TurnRow:
    end = tokens.map(turn.text).end_after(0, limit)
    return replace(turn, text=turn.text[:end], token_count=limit)


async def _counted(tokens: TokenCounter, turn: TurnRow) -> TurnRow:
    if len(turn.text) <= _SHORT_CHARS:
        return replace(turn, token_count=tokens.count(turn.text))
    # The tokenizer works outside the GIL, so the loop goes on meanwhile.
    return replace(turn, token_count=await asyncio.to_thread(tokens.count, turn.text))
