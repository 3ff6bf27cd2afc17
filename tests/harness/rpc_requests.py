"""Requests that nobody sends by accident, made from the descriptors of the RPCs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

_DEPTH = 4
_LONG = 70_000
_STRINGS = (
    "", " ", "\x00", "a\x00b", "\u202e", "\ufeff", "\U0001f469\u200d\U0001f4bb", "e\u0301" * 50,
    "' or 1=1 --", "%s%s%n", "../../etc/passwd", "<script>", "NaN", "-1", "null", "[]", "{}",
    "http://127.0.0.1:1/", "00000000-0000-0000-0000-000000000000", "{0}", "$1", "\\", "%", "_",
    "9" * 400, "x" * _LONG, "EUR", "en", "day", "gpt", "2026-01-01", "0" * 32, "\r\n", "\u0000" * 9,
)  # fmt: skip
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_SOME = (-1, 0, 1, 2, 3, 10, 100, 1_000, 253_402_300_800)

_PLAIN = st.sampled_from(("a", "How long?", "user", "en", "message", "Returns\n\nWithin 30 days."))
_ID = st.uuids(version=4).map(str)
_ANY_TEXT = st.one_of(
    st.sampled_from(_STRINGS), st.text(st.characters(codec="utf-8"), max_size=40), _ID
)
# Mostly what could be meant: a request that is wrong in every field shows only the first check.
_USUALLY = 4


def messages(descriptor: Descriptor, depth: int = _DEPTH) -> st.SearchStrategy[Message]:
    """Messages of a type: any field set or not, one of a oneof, nested `depth` deep."""
    made: Callable[[], Message] = GetMessageClass(descriptor)
    fields = [each for each in descriptor.fields if depth or each.message_type is None]

    @st.composite
    def filled(draw: st.DrawFn) -> Message:
        message = made()
        for each in fields:
            if draw(st.integers(0, 3)):
                _fill(draw, message, each, depth)
        return message

    return filled()


def _fill(draw: st.DrawFn, message: Message, each: FieldDescriptor, depth: int) -> None:
    nested = each.message_type
    if nested is not None and nested.GetOptions().map_entry:
        _fill_map(draw, message, each)
    elif nested is not None and each.is_repeated:
        getattr(message, each.name).extend(draw(st.lists(messages(nested, depth - 1), max_size=3)))
    elif nested is not None:
        part = getattr(message, each.name)
        part.SetInParent()
        part.CopyFrom(draw(messages(nested, depth - 1)))
    elif each.is_repeated:
        getattr(message, each.name).extend(draw(st.lists(_scalar(each), max_size=4)))
    else:
        setattr(message, each.name, draw(_scalar(each)))


def _fill_map(draw: st.DrawFn, message: Message, each: FieldDescriptor) -> None:
    entry: Any = each.message_type
    if entry.fields_by_name["value"].message_type is not None:
        raise NotImplementedError(f"{each.full_name}: a map of messages")
    pairs = st.dictionaries(
        _scalar(entry.fields_by_name["key"]), _scalar(entry.fields_by_name["value"]), max_size=3
    )
    getattr(message, each.name).update(draw(pairs))


def _scalar(each: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = each.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return st.floats(width=32 if kind == FieldDescriptor.CPPTYPE_FLOAT else 64)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return (
            _text(each) if each.type == FieldDescriptor.TYPE_STRING else st.binary(max_size=2_000)
        )
    least, most = _WHOLE[kind]
    known = [value for value in (least, most, *_SOME) if least <= value <= most]
    whole = st.one_of(st.sampled_from(known), st.integers(least, most))
    if each.enum_type is not None:
        return _mostly(st.sampled_from([value.number for value in each.enum_type.values]), whole)
    if each.full_name == "google.protobuf.Timestamp.seconds":
        return _mostly(st.integers(1_760_000_000, 1_830_000_000), whole)
    if each.full_name == "google.protobuf.Timestamp.nanos":
        return _mostly(st.integers(0, 999_999_999), whole)
    return _mostly(st.integers(0, 20), whole)


def _text(each: FieldDescriptor) -> st.SearchStrategy[str]:
    return _mostly(_ID if each.name.endswith("_id") else _PLAIN, _ANY_TEXT)


def _mostly(
    usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.one_of(*[usual] * _USUALLY, unusual)


# A request of an RPC that takes few of those made at random, as it is meant. ID is replaced.
_MEANT = {
    "CreateAgent": 'config { name: "Kim" preset: PRESET_FRIENDLY } publish: true',
    "UpdateDraft": 'agent_id: "ID" config { name: "Kim" preset: PRESET_FRIENDLY }',
    "PublishAgent": 'agent_id: "ID"',
    "RollbackAgent": 'agent_id: "ID" version: 1',
    "CreateConversation": 'agent_id: "ID"',
    "CreateTrial": 'agent_id: "ID"',
    "AnswerTurn": 'conversation_id: "ID" text: "How long?"',
    "Reply": 'conversation_id: "ID" text: "Two days."',
    "RateMessage": 'conversation_id: "ID" message_id: "ID" rating: 1',
    "WatchConversation": 'conversation_id: "ID"',
    "TakeOver": 'conversation_id: "ID"',
    "HandBack": 'conversation_id: "ID"',
    "RequestHandoff": 'conversation_id: "ID"',
    "ResolveConversation": 'conversation_id: "ID"',
    "RecordTurn": """conversation_id: "ID" turn {
        message_id: "ID" author: AUTHOR_VISITOR text: "How long?"
        create_time { seconds: 1790000000 }
    }""",
    "GetContext": 'conversation_id: "ID"',
    "CreateSources": 'sources { type: SOURCE_TYPE_TEXT title: "a" content: "Two days." }',
    "UploadSource": """header { source { type: SOURCE_TYPE_FILE file_name: "a.md" } }""",
    "Search": 'query: "How long?" top_k: 3',
    "StartExperiment": 'name: "a" rerank_model: "none" share_percent: 10',
    "CreateEvaluation": """content: '[{"question": "How long?", "document": "a"}]'""",
    "Answer": """question: "How long?" passages {
        chunk_id: "ID" document_id: "ID" title: "a" text: "It takes two days." score: 0.9
    }""",
    "Embed": 'texts: "How long?" kind: EMBED_KIND_QUERY',
    "SummarizeCosts": "group_by: COST_KEY_DAY",
    "GetKpis": "start_time { seconds: 1790000000 } end_time { seconds: 1790600000 }",
    "CheckEntitlement": "capability: CAPABILITY_TEXT",
}


def requests(method: MethodDescriptor, count: int) -> list[Message]:
    """The same requests every time: the empty one, and twice `count`.

    Half of those are as they are meant but for one field, the others made at random.
    """
    found: list[Message] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType] - an enum
    )
    @given(messages(method.input_type))
    def collect(message: Message) -> None:
        found.append(message)

    collect()
    made: Callable[[], Message] = GetMessageClass(method.input_type)
    random = Random(method.full_name)
    meant = [_as_meant(method.name, made(), random) for _ in range(count + 1)]
    for message, other in zip(meant[1:], found, strict=False):
        _spoil(message, other, random)
    return [made(), *meant, *found]


def _as_meant(name: str, message: Message, random: Random) -> Message:
    text = _MEANT.get(name, "")
    while '"ID"' in text:
        text = text.replace('"ID"', f'"{UUID(int=random.getrandbits(128), version=4)}"', 1)
    return text_format.Parse(text, message)


def _spoil(message: Message, other: Message, random: Random) -> None:
    """Gives one field of `message` the value that it has in `other`, however deep it is."""
    if not message.DESCRIPTOR.fields:
        return
    each = random.choice(message.DESCRIPTOR.fields)
    value = getattr(other, each.name)
    if each.message_type is None and not each.is_repeated:
        setattr(message, each.name, value)
        return
    if each.is_repeated:
        own = getattr(message, each.name)
        if each.message_type is not None and own and value and random.random() < 0.8:
            _spoil(own[0], value[0], random)
            return
        message.ClearField(each.name)
        getattr(message, each.name).MergeFrom(value)
    elif message.HasField(each.name) and random.random() < 0.8:
        _spoil(getattr(message, each.name), value, random)
    else:
        getattr(message, each.name).CopyFrom(value)


@dataclass(slots=True)
class Ids:
    """Ids that services told, to be asked about again: most of a request's ids are such."""

    _random: Random = field(default_factory=lambda: Random(1))
    _known: dict[str, list[str]] = field(default_factory=dict)

    def learn(self, message: Message) -> None:
        """Remembers the ids in an answer by the names of their fields."""
        for each, value in message.ListFields():
            if each.message_type is None:
                if each.name.endswith("_id") and isinstance(value, str) and value:
                    self._known.setdefault(each.name, []).append(value)
                continue
            if each.message_type.GetOptions().map_entry:
                continue
            for part in value if each.is_repeated else [value]:
                self.learn(part)

    def use(self, message: Message) -> Message:
        """Puts remembered ids into most of a request's fields of that name."""
        for each, value in message.ListFields():
            if each.message_type is None:
                known = self._known.get(each.name)
                if known and isinstance(value, str) and self._random.random() < 0.8:
                    setattr(message, each.name, self._random.choice(known))
            elif not each.is_repeated:
                self.use(value)
        return message
