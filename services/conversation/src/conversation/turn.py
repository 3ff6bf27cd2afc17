"""One turn: a visitor's question and the answer to it."""

import time
from dataclasses import dataclass, field
from uuid import UUID

from conversation.agent_config import AgentConfig
from conversation.citations import Citation, Passage


class TurnLost(Exception):
    """Another process has closed this turn: its lease had ended."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that this process answers. `number` is the question's; times are monotonic."""

    tenant_id: UUID
    conversation_id: UUID
    message_id: UUID
    question_id: UUID
    number: int
    agent_id: UUID
    is_trial: bool
    visitor_id: UUID
    text: str
    config: AgentConfig
    started_at: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> int:
        """Real milliseconds since the question was stored, at least 1."""
        return max(int((time.monotonic() - self.started_at) * 1000), 1)


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a turn came to; enums as stored.

    `counts`: whether it is the conversation's last outcome from now on; small talk is not.
    """

    outcome: str
    handoff_reason: str = "unspecified"
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    confidence: float = 0.0
    relevance: float = 0.0
    tier: int = 0
    model: str = ""
    call_id: str = ""
    counts: bool = True
