"""A trial of an agent's draft, as it stands beside the form."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetdesk.conversation.v1 import conversation_pb2 as conv
from fleetdesk.llm_gateway.v1.usage_pb2 import Receipt
from markupsafe import Markup

from gateway.views.answer_html import answer_html, plain_html
from gateway.views.format import Money, count, money, percent
from gateway.views.frame import Badge, link
from gateway.views.transcript import message_badges, why_sentence

FRAGMENT = "trial"
# What the answer itself does not say.
_EXPLAINED = (conv.OUTCOME_HANDOFF, conv.OUTCOME_CLARIFY)


@dataclass(frozen=True, slots=True)
class TrialTurn:
    """A question, or the answer to one with what it came to; `sentence` says why, where it asks."""

    message_id: str
    is_answer: bool
    body: Markup
    badges: tuple[Badge, ...] = ()
    sentence: str = ""
    confidence: str = ""
    cost: Money | None = None
    models: tuple[str, ...] = ()
    why_href: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was asked up to now; `trial_id` is "" before the first question."""

    agent_id: str
    trial_id: str = ""
    turns: tuple[TrialTurn, ...] = ()
    cost: Money | None = None
    said: str = ""
    is_answering: bool = False

    @property
    def href(self) -> str:
        """The agent's page with this trial."""
        return link("/agent", agent=self.agent_id, trial=self.trial_id)

    @property
    def fresh_href(self) -> str:
        """The agent's page without it."""
        return link("/agent", agent=self.agent_id)


def trial_of(agent_id: str, trial_id: str, messages: Sequence[conv.Message]) -> Trial:
    """The trial with its messages, oldest first, and their receipts."""
    answers = [each for each in messages if each.role == conv.MESSAGE_ROLE_AGENT]
    return Trial(
        agent_id=agent_id,
        trial_id=trial_id,
        turns=tuple(_turn(each) for each in messages),
        cost=money(sum(each.receipt.total_nanos for each in answers)),
        said=count(len(answers), "answer"),
        is_answering=any(each.status == conv.MESSAGE_STATUS_ANSWERING for each in answers),
    )


def _turn(message: conv.Message) -> TrialTurn:
    if message.role != conv.MESSAGE_ROLE_AGENT:
        return TrialTurn(message.message_id, is_answer=False, body=plain_html(message.text))
    href = link(f"/conversations/{message.conversation_id}", answer=message.message_id)
    is_over = message.status != conv.MESSAGE_STATUS_ANSWERING
    answered = message.outcome == conv.OUTCOME_ANSWERED
    return TrialTurn(
        message_id=message.message_id,
        is_answer=True,
        body=answer_html(message, href),
        badges=message_badges(message, is_trial=True),
        sentence=why_sentence(message, is_trial=True) if message.outcome in _EXPLAINED else "",
        confidence=percent(message.confidence) if answered else "",
        cost=money(message.receipt.total_nanos) if is_over else None,
        models=_models(message.receipt),
        why_href=f"{href}#why" if is_over else "",
    )


def _models(receipt: Receipt) -> tuple[str, ...]:
    """Those that took part, in the order in which they were called."""
    return tuple(dict.fromkeys(f"{row.provider}/{row.model}" for row in receipt.items))
