"""What the visitor's shared screen says, and what of it a question is about."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.postgres import Database

from conversation.agent_config import AgentConfig
from conversation.store import agents, conversations, observations
from conversation.store.observations import Observation

MAX_AGE_S = 30.0
MAX_TEXT_BYTES = 16_000
MAX_SCREEN_CHARS = 4_000
_MAX_FOCUS_CHARS = 300
_MAX_FOCUS_LINES = 3
# A question of more words says itself what it is about.
_MAX_QUESTION_WORDS = 16
# Error codes: E-1041, 0x80070057, ERR_CONNECTION_RESET, HTTP 503, SQLSTATE 42P01, TS2345.
_CODE = re.compile(
    r"\b(?:0x[0-9a-f]{4,}|[a-z]{1,10}[-_ ]?\d{2,6}[a-z]?"
    r"|[A-Z]{2,}(?:_[A-Z0-9]+)+|\d{2}[A-Z]\d{2})\b",
    re.IGNORECASE,
)
_SHOUTED = re.compile(r"\b[A-Z]{2,}(?:_[A-Z0-9]+)+\b")
_TROUBLE = re.compile(
    r"error|fail|exception|warning|denied|invalid|refused|unable|cannot|can't|not found|timed out"
    r"|fehler|warnung|erreur|échec|avertissement|errore|erro\b|advertencia|fallo|fout|błąd|ошибка"
    r"|エラー|错误|錯誤|失败|오류|خطأ|hata",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whether a conversation's agent looks at a shared screen, and who shares with whom."""

    allowed: bool
    agent_id: UUID
    visitor_id: UUID


async def sharing_of(db: Database, tenant_id: UUID, conversation_id: UUID) -> Sharing:
    """By the agent version that the conversation is pinned to; NotFound."""
    async with db.tenant(tenant_id) as conn:
        row = await conversations.get_conversation(conn, tenant_id, conversation_id)
        if row is None:
            raise NotFound("there is no such conversation", field="conversation_id")
        version = None
        if row.agent_version is not None:  # a screen can't be shared with a trial
            version = await agents.get_version(conn, tenant_id, row.agent_id, row.agent_version)
    config = AgentConfig.from_json(version.config) if version else AgentConfig()
    return Sharing(config.screen_sharing, row.agent_id, row.visitor_id)


async def add_observation(
    db: Database, tenant_id: UUID, conversation_id: UUID, seen: Observation
) -> bool:
    """Stores what a screen says now; False when something later is known. NotFound."""
    if len(seen.text.encode()) > MAX_TEXT_BYTES:
        raise InvalidArgument(f"text has more than {MAX_TEXT_BYTES} bytes", field="text")
    if "\0" in seen.text:
        raise InvalidArgument("text contains a NUL character: remove it", field="text")
    async with db.tenant(tenant_id) as conn:
        if await conversations.get_conversation(conn, tenant_id, conversation_id) is None:
            raise NotFound("there is no such conversation", field="conversation_id")
        return await observations.put_observation(conn, tenant_id, conversation_id, seen)


def focus(question: str, screen: str) -> str:
    """The lines of the screen that a short question may be about: codes, then other trouble.

    "" when the question is long, when it names what it is about (a code that the screen shows),
    or when the screen shows no trouble. Only ever used to look things up: what a screen says is
    not to be followed.
    """
    if not screen or len(question.split()) > _MAX_QUESTION_WORDS:
        return ""
    asked = question.casefold()
    lines = [" ".join(line.split()) for line in screen.splitlines() if line.strip()]
    if any(code.casefold() in asked for line in lines for code in _codes(line)):
        return ""
    worth = sorted(
        (-_weight(line), number, line) for number, line in enumerate(lines) if _weight(line)
    )
    chosen = [line[:_MAX_FOCUS_CHARS] for _, _, line in worth[:_MAX_FOCUS_LINES]]
    return "\n".join(chosen)[:_MAX_FOCUS_CHARS]


def _weight(line: str) -> int:
    has_trouble = bool(_TROUBLE.search(line))
    has_code = any(True for _ in _codes(line))
    # A code alone may be a version or a model: it counts beside a word of trouble, or shouted.
    if has_trouble:
        return 3 if has_code else 1
    return 2 if _SHOUTED.search(line) or "0x" in line.casefold() else 0


def _codes(line: str) -> Iterator[str]:
    for found in _CODE.finditer(line):
        if any(character.isdigit() for character in found.group()) or "_" in found.group():
            yield found.group()
