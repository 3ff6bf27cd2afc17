"""Who answers: the agent, or a person who has taken over."""

from uuid import UUID

from fleetkit import jobs
from fleetkit.errors import AlreadyExists, FailedPrecondition
from fleetkit.ids import new_id

from conversation import turns
from conversation.closing import RECORD_TURN
from conversation.deps import Deps
from conversation.editing import editing
from conversation.requests import check_request_id
from conversation.runner import TurnRunner
from conversation.store import messages
from conversation.store.conversations import ConversationRow
from conversation.store.messages import MessageRow, NewMessage


async def request_handoff(deps: Deps, tenant_id: UUID, conversation_id: UUID) -> ConversationRow:
    """Asks for a person on the visitor's behalf; opens a resolved conversation again."""
    async with editing(deps, tenant_id, conversation_id) as edit:
        edit.request_handoff("visitor_request")
        return edit.row


async def take_over(
    deps: Deps, runner: TurnRunner, tenant_id: UUID, conversation_id: UUID, *, person: str
) -> ConversationRow:
    """Puts a person in charge; the agent stops in the middle of what it is writing.

    Whoever was first stays: that another takes over as well changes nothing.
    """
    canceled: UUID | None = None
    async with editing(deps, tenant_id, conversation_id) as edit:
        if edit.row.status != "taken_over":
            canceled = await turns.request_cancel(edit)
            edit.change_status("taken_over", person=person)
        row = edit.row
    if canceled is not None:
        runner.cancel(canceled)
    return row


async def hand_back(deps: Deps, tenant_id: UUID, conversation_id: UUID) -> ConversationRow:
    """Lets the agent answer again, and ends the wait for a person; nothing when it is resolved."""
    async with editing(deps, tenant_id, conversation_id) as edit:
        if edit.row.status in ("taken_over", "waiting"):
            edit.change_status("open", "unspecified")
        return edit.row


async def resolve(deps: Deps, tenant_id: UUID, conversation_id: UUID) -> ConversationRow:
    """Ends the conversation; why a person was asked for stays to be seen."""
    async with editing(deps, tenant_id, conversation_id) as edit:
        if edit.row.status != "resolved":
            edit.change_status("resolved")
        return edit.row


async def reply(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, *, request_id: str, text: str, author: str
) -> MessageRow:
    """Posts a person's message; the same request_id gives the message that it posted.

    FailedPrecondition (NOT_TAKEN_OVER) unless a person has taken over; AlreadyExists when the
    request_id was used for another text.
    """
    check_request_id(request_id)
    async with editing(deps, tenant_id, conversation_id) as edit:
        if request_id:
            known = await messages.find_request(
                edit.conn, tenant_id, conversation_id, "person", request_id
            )
            if known is not None:
                return _same(known, text)
        if edit.row.status != "taken_over":
            raise FailedPrecondition(
                "nobody has taken over this conversation: take over before you reply",
                reason="NOT_TAKEN_OVER",
            )
        new = NewMessage(
            message_id=new_id(),
            role="person",
            text=text,
            request_id=request_id or None,
            author=author,
        )
        row = await turns.store_message(edit, new)
        await jobs.enqueue(edit.conn, tenant_id, RECORD_TURN, row.message_id)
        return row


def _same(known: MessageRow, text: str) -> MessageRow:
    if known.text != text:
        raise AlreadyExists(
            "this request_id was used for another text: use a new one for each message",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    return known
