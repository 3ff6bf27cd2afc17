"""Beginning, joining and stopping turns."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetkit import jobs
from fleetkit.errors import AlreadyExists, FailedPrecondition, FleetError, NotFound, Unavailable
from fleetkit.ids import new_id
from psycopg.errors import UniqueViolation

from conversation import sweeper, wire
from conversation.agent_config import AgentConfig
from conversation.closing import RECORD_TURN
from conversation.deps import Deps
from conversation.editing import ConversationChange, Edit, editing
from conversation.requests import check_request_id
from conversation.runner import TurnRunner
from conversation.store import agents, conversations, messages, timeline
from conversation.store.messages import InFlight, MessageRow, NewMessage
from conversation.texts import title_of
from conversation.turn import Turn

_RETRY_AFTER_S = 1.0
_MOST_TRIES = 3
_MOST_VERSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """What a visitor asks; the text is checked."""

    tenant_id: UUID
    conversation_id: UUID
    request_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The message to listen to, and the position after which its events come.

    `begun`: whether it is of now. `expired` is the message itself when its events are no longer
    kept.
    """

    message_id: UUID
    after: int
    begun: bool = False
    expired: MessageRow | None = None


class _Abandoned(Exception):
    """A turn is in flight whose process was not heard of lately."""

    def __init__(self, turn: InFlight) -> None:
        self.turn = turn


async def ask(deps: Deps, runner: TurnRunner, question: Question) -> Joined:
    """Begins the turn of a question, or joins the one that its request_id began.

    A turn that a dead process left behind is closed first, which takes as long as its lease has
    left. FailedPrecondition (TURN_IN_PROGRESS) while another question is being answered: its
    answer would be part of what the next one builds on, and a visitor who asks on before reading
    it should see both, not have one dropped. The text is not stored, so that the widget keeps it
    in its field until the answer is there.
    """
    check_request_id(question.request_id)
    try:
        runner.reserve()
    except FleetError:
        # To listen to a turn that has begun takes no place.
        if (joined := await _join(deps, question)) is not None:
            return joined
        raise
    try:
        return await _begin_or_clear(deps, runner, question)
    finally:
        runner.release()


async def cancel(
    deps: Deps, runner: TurnRunner, tenant_id: UUID, conversation_id: UUID
) -> UUID | None:
    """Stops the answer being written, wherever it is; its message id, None when there is none."""
    async with editing(deps, tenant_id, conversation_id) as edit:
        message_id = await request_cancel(edit)
    if message_id is not None:
        # The notification comes back here too; this is only sooner.
        runner.cancel(message_id)
    return message_id


async def request_cancel(edit: Edit) -> UUID | None:
    """Marks the answer being written as to be stopped, when the transaction commits."""
    turn = await messages.in_flight(edit.conn, edit.tenant_id, edit.row.conversation_id)
    if turn is None:
        return None
    await messages.request_cancel(edit.conn, edit.tenant_id, turn.message_id)
    return turn.message_id


async def _begin_or_clear(deps: Deps, runner: TurnRunner, question: Question) -> Joined:
    for _ in range(_MOST_TRIES):
        try:
            return await _begin(deps, runner, question)
        except UniqueViolation:
            # The request is known, or there is an answer in flight.
            if (joined := await _join(deps, question)) is not None:
                return joined
        try:
            await _refuse_second(deps, runner, question)
        except _Abandoned as found:
            await asyncio.sleep(max(found.turn.lease_left_s, 0) + 0.01)
            await sweeper.sweep_one(deps, question.tenant_id, found.turn.message_id)
    raise Unavailable("the answer before could not be closed", retry_after_s=_RETRY_AFTER_S)


async def _begin(deps: Deps, runner: TurnRunner, question: Question) -> Joined:
    """Stores the question and, unless a person answers, the message that is to answer it.

    UniqueViolation when the request is known, or another answer is in flight.
    """
    asked = NewMessage(
        message_id=new_id(),
        role="visitor",
        text=question.text,
        request_id=question.request_id or None,
    )
    answering = NewMessage(
        message_id=new_id(),
        role="agent",
        question_id=asked.message_id,
        owner=deps.owner,
        lease_s=deps.settings.turn_lease_s,
    )
    async with editing(deps, question.tenant_id, question.conversation_id) as edit:
        if edit.row.status == "resolved":
            edit.change_status("open", "unspecified")
        title = None if edit.row.title else title_of(question.text)
        if edit.row.status == "taken_over":
            await store_message(edit, asked, title)
            await jobs.enqueue(edit.conn, question.tenant_id, RECORD_TURN, asked.message_id)
            return Joined(asked.message_id, edit.row.last_position)
        config = await _config(deps, edit)
        stored = await messages.insert_messages(
            edit.conn, edit.tenant_id, question.conversation_id, [asked, answering]
        )
        tell_of_message(edit, stored[0], title)
        turn = _tell_of_answering(edit, stored[0], stored[1], config)
        joined = Joined(turn.message_id, edit.row.last_position, begun=True)
    runner.start(turn)
    return joined


async def _join(deps: Deps, question: Question) -> Joined | None:
    """The turn that this request began, without a lock; None when it is new."""
    if not question.request_id:
        return None
    async with deps.db.tenant(question.tenant_id) as conn:
        row = await conversations.get_conversation(
            conn, question.tenant_id, question.conversation_id
        )
        if row is None:
            raise NotFound("there is no such conversation", field="conversation_id")
        return await _known(Edit(conn, question.tenant_id, row), question)


async def _known(edit: Edit, question: Question) -> Joined | None:
    if not question.request_id:
        return None
    asked = await messages.find_request(
        edit.conn, edit.tenant_id, edit.row.conversation_id, "visitor", question.request_id
    )
    if asked is None:
        return None
    if asked.text != question.text:
        raise AlreadyExists(
            "this request_id was used for another text: use a new one for each message",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    answer = await messages.find_answer(
        edit.conn, edit.tenant_id, edit.row.conversation_id, asked.message_id
    )
    message = answer or asked
    first = await timeline.position_of(
        edit.conn, edit.tenant_id, edit.row.conversation_id, message.message_id, 1
    )
    if first is None:
        return Joined(message.message_id, edit.row.last_position, expired=message)
    return Joined(message.message_id, first - 1)


async def _refuse_second(deps: Deps, runner: TurnRunner, question: Question) -> None:
    """FailedPrecondition while an answer is in flight, _Abandoned when its process is gone."""
    async with deps.db.tenant(question.tenant_id) as conn:
        turn = await messages.in_flight(conn, question.tenant_id, question.conversation_id)
    if turn is None:
        return
    # A live process extends its leases when two thirds of them are left.
    if not runner.answers(turn.message_id) and turn.lease_left_s < deps.settings.turn_lease_s / 2:
        raise _Abandoned(turn)
    raise FailedPrecondition(
        "the question before is still being answered: wait for its end or cancel it, then ask",
        reason="TURN_IN_PROGRESS",
        retry_after_s=_RETRY_AFTER_S,
        details={"message_id": str(turn.message_id)},
    )


async def store_message(edit: Edit, new: NewMessage, title: str | None = None) -> MessageRow:
    """Stores a whole message by the visitor or a person, and tells listeners and the bus."""
    [row] = await messages.insert_messages(
        edit.conn, edit.tenant_id, edit.row.conversation_id, [new]
    )
    tell_of_message(edit, row, title)
    return row


def tell_of_message(edit: Edit, row: MessageRow, title: str | None) -> None:
    """Counts a whole message that was stored, and tells listeners and the bus."""
    edit.change(ConversationChange(title=title, add_messages=1))
    posted = pb.MessagePosted(message=wire.message_message(row))
    edit.emit(pb.TurnEvent(message_id=str(row.message_id), sequence=1, posted=posted))
    edit.publish(
        events_pb2.MessageStored(
            conversation_id=str(row.conversation_id),
            message_id=str(row.message_id),
            role=wire.role_of(row.role),
            agent_id=str(edit.row.agent_id),
            visitor_id=str(edit.row.visitor_id),
        )
    )


def _tell_of_answering(
    edit: Edit, asked: MessageRow, answering: MessageRow, config: AgentConfig
) -> Turn:
    """Counts the message that is to answer, tells listeners, and gives the turn to answer."""
    conversation = edit.row
    edit.change(ConversationChange(add_messages=1))
    started = pb.TurnStarted(question_id=str(asked.message_id))
    edit.emit(pb.TurnEvent(message_id=str(answering.message_id), sequence=1, started=started))
    return Turn(
        tenant_id=edit.tenant_id,
        conversation_id=conversation.conversation_id,
        message_id=answering.message_id,
        question_id=asked.message_id,
        number=asked.number,
        agent_id=conversation.agent_id,
        is_trial=conversation.is_trial,
        visitor_id=conversation.visitor_id,
        text=asked.text,
        config=config,
    )


async def _config(deps: Deps, edit: Edit) -> AgentConfig:
    """The settings of the conversation's version, or of the draft as it is now for a trial.

    A version never changes, so its settings are kept.
    """
    if edit.row.agent_version is None:
        agent = await agents.get_agent(edit.conn, edit.tenant_id, edit.row.agent_id)
        if agent is None:
            raise LookupError("a conversation references its agent")
        return AgentConfig.from_json(agent.draft)
    key = edit.tenant_id, edit.row.agent_id, edit.row.agent_version
    config = deps.versions.get(key)
    if config is None:
        version = await agents.get_version(edit.conn, *key)
        if version is None:
            raise LookupError("a conversation references its version")
        if len(deps.versions) >= _MOST_VERSIONS:
            deps.versions.clear()
        config = deps.versions[key] = AgentConfig.from_json(version.config)
    return config
