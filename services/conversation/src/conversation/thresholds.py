"""What other thresholds would have made of the questions that were asked."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.postgres import Database

from conversation import agents
from conversation.agent_config import AgentConfig
from conversation.config import Settings
from conversation.decision import (
    Answer,
    AskBack,
    Evidence,
    Rules,
    decide_from_evidence,
    rules_of,
    topics_of,
)
from conversation.followups import points_nowhere
from conversation.intents import is_one_word
from conversation.store import decided as store
from conversation.store.decided import DecidedRow

MOST_QUESTIONS = 1_000
_QUESTIONS = 200
_MOST_SHOWN = 50
_QUESTION_CHARS = 300
# Of a tenant with many agents, only its latest answers are looked at.
_LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Changed:
    """A question with its outcome by the published thresholds and by the others."""

    row: DecidedRow
    now: str
    then: str


@dataclass(frozen=True, slots=True)
class Trial:
    """How many questions there are of each outcome, and which ones change."""

    now: Counter[str]
    then: Counter[str]
    changed: Sequence[Changed]
    changed_count: int


async def try_thresholds(
    db: Database,
    settings: Settings,
    tenant_id: UUID,
    agent_id: UUID,
    *,
    answer_millis: int,
    handoff_millis: int,
    latest: int,
) -> Trial:
    """Decides the agent's `latest` questions (0: 200) again, by what was found for them then.

    Thresholds in thousandths; `handoff_millis` 0 for the published one. InvalidArgument naming what
    is out of range, NotFound for an agent that is not published.
    """
    _check(answer_millis, handoff_millis, latest)
    async with db.tenant(tenant_id) as conn:
        agent = await agents.existing(conn, tenant_id, agent_id)
        if agent.published is None:
            raise NotFound("the agent is not published", field="agent_id")
        rows = await store.latest_decided(
            conn,
            tenant_id,
            agent_id,
            limit=latest or _QUESTIONS,
            among=_LOOKED_AT,
            question_chars=_QUESTION_CHARS,
        )
    published = rules_of(AgentConfig.from_json(agent.published), settings)
    answer = answer_millis / 1000
    handoff = handoff_millis / 1000 or published.handoff_threshold
    # Whether a question points nowhere takes a look at many words.
    return await asyncio.to_thread(compare, rows, published, Rules(answer, min(handoff, answer)))


def compare(rows: Sequence[DecidedRow], now: Rules, then: Rules) -> Trial:
    """The outcomes of the questions by both rules."""
    seen = [(row, _evidence(row)) for row in rows]
    both = [Changed(row, _outcome(found, now), _outcome(found, then)) for row, found in seen]
    changed = [each for each in both if each.now != each.then]
    return Trial(
        now=Counter(each.now for each in both),
        then=Counter(each.then for each in both),
        changed=changed[:_MOST_SHOWN],
        changed_count=len(changed),
    )


def _evidence(row: DecidedRow) -> Evidence:
    return Evidence(
        row.relevance,
        topics_of((each["document_id"], each["title"], each["score"]) for each in row.passages),
        entitled=True,
        asked_back=row.asked_back,
        points_nowhere=points_nowhere(row.question, row.earlier),
        one_word=is_one_word(row.question),
    )


def _outcome(evidence: Evidence, rules: Rules) -> str:
    match decide_from_evidence(evidence, rules):
        case Answer():
            return "answered"
        case AskBack():
            return "clarify"
        case _:
            return "handoff"


def _check(answer_millis: int, handoff_millis: int, latest: int) -> None:
    if not 1 <= answer_millis <= 1_000:
        raise InvalidArgument(
            "answer_threshold_millis is 1 to 1,000", field="answer_threshold_millis"
        )
    if not 0 <= handoff_millis <= 1_000:
        raise InvalidArgument(
            "handoff_threshold_millis is 0 to 1,000", field="handoff_threshold_millis"
        )
    if not 0 <= latest <= MOST_QUESTIONS:
        raise InvalidArgument(f"latest is 1 to {MOST_QUESTIONS:,}", field="latest")
