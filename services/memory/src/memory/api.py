"""MemoryService: translate, call, translate."""

from uuid import UUID

from fleetdesk.memory.v1 import memory_service_pb2 as pb
from fleetdesk.memory.v1.memory_service_pb2_grpc import MemoryServiceServicer
from fleetkit.context import current, tenant_id
from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.postgres import Database
from fleetkit.rpc.fields import timestamp, to_optional_uuid, to_time, to_uuid
from fleetkit.tokens import TokenCounter
from grpc.aio import ServicerContext

from memory import window
from memory.store import TurnRow
from memory.window import Limits

_MAX_TEXT_BYTES = 100_000
_MAX_TURNS = 100
_MAX_MESSAGES = 100
_MAX_TOKENS = 100_000
_AUTHORS = {pb.AUTHOR_VISITOR: "visitor", pb.AUTHOR_AGENT: "agent", pb.AUTHOR_PERSON: "person"}
_AUTHORS_BACK = {name: author for author, name in _AUTHORS.items()}


class MemoryApi(MemoryServiceServicer):
    """The RPCs of memory."""

    def __init__(self, db: Database, tokens: TokenCounter, limits: Limits) -> None:
        self._db = db
        self._tokens = tokens
        self._limits = limits

    async def RecordTurn(
        self, request: pb.RecordTurnRequest, context: ServicerContext
    ) -> pb.RecordTurnResponse:
        if len(request.more_turns) >= _MAX_TURNS:
            raise InvalidArgument(
                f"more_turns has more than {_MAX_TURNS - 1} turns", field="more_turns"
            )
        more = [_turn(turn, "more_turns") for turn in request.more_turns]
        turns = [_turn(request.turn, "turn"), *more]
        added = await window.record_turns(
            self._db,
            self._tokens,
            tenant_id(),
            to_uuid(request.conversation_id, "conversation_id"),
            to_optional_uuid(request.visitor_id, "visitor_id"),
            turns,
        )
        return pb.RecordTurnResponse(recorded=turns[0].message_id in added, turn_count=len(turns))

    async def GetContext(
        self, request: pb.GetContextRequest, context: ServicerContext
    ) -> pb.GetContextResponse:
        if len(request.pending_turns) > _MAX_TURNS:
            raise InvalidArgument(
                f"pending_turns has more than {_MAX_TURNS} turns", field="pending_turns"
            )
        to_optional_uuid(request.visitor_id, "visitor_id")
        conversation_id = to_uuid(request.conversation_id, "conversation_id")
        _check_visitor(conversation_id)
        found = await window.get_context(
            self._db,
            self._tokens,
            tenant_id(),
            conversation_id,
            [_turn(turn, "pending_turns") for turn in request.pending_turns],
            self._limits_of(request),
        )
        return pb.GetContextResponse(
            turns=[_to_turn(turn) for turn in found.turns], token_count=found.token_count
        )

    async def ClearConversation(
        self, request: pb.ClearConversationRequest, context: ServicerContext
    ) -> pb.ClearConversationResponse:
        count = await window.clear_conversation(
            self._db, tenant_id(), to_uuid(request.conversation_id, "conversation_id")
        )
        return pb.ClearConversationResponse(message_count=count)

    def _limits_of(self, request: pb.GetContextRequest) -> Limits:
        return Limits(
            messages=_within(request.max_messages, _MAX_MESSAGES, "max_messages")
            or self._limits.messages,
            tokens=_within(request.max_tokens, _MAX_TOKENS, "max_tokens") or self._limits.tokens,
        )


def _check_visitor(conversation_id: UUID) -> None:
    """A visitor's token is bound to one conversation, whatever the caller asks for."""
    person = current().identity
    if (
        person is not None
        and person.kind == "visitor"
        and person.conversation_id != conversation_id
    ):
        raise NotFound("there is no such conversation")


def _turn(turn: pb.Turn, field: str) -> TurnRow:
    author = _AUTHORS.get(turn.author)
    if author is None:
        raise InvalidArgument(
            f"{field}.author is not set: use visitor, agent or person", field=f"{field}.author"
        )
    if not turn.text or len(turn.text.encode()) > _MAX_TEXT_BYTES:
        raise InvalidArgument(
            f"{field}.text has to have 1 to {_MAX_TEXT_BYTES} bytes", field=f"{field}.text"
        )
    if "\x00" in turn.text:
        raise InvalidArgument(
            f"{field}.text holds a NUL character: leave it out", field=f"{field}.text"
        )
    create_time = to_time(turn, "create_time", f"{field}.create_time")
    return TurnRow(
        message_id=to_uuid(turn.message_id, f"{field}.message_id"),
        author=author,
        text=turn.text,
        token_count=0,
        create_time=create_time,
    )


def _to_turn(turn: TurnRow) -> pb.Turn:
    return pb.Turn(
        message_id=str(turn.message_id),
        author=_AUTHORS_BACK[turn.author],
        text=turn.text,
        create_time=timestamp(turn.create_time),
    )


def _within(number: int, limit: int, field: str) -> int:
    if not 0 <= number <= limit:
        raise InvalidArgument(f"{field} has to be 0 to {limit}", field=field)
    return number
