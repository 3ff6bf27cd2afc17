"""Uploads: a multipart form, read piece by piece and passed on as it comes."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

from fleetkit.errors import InvalidArgument, ResourceExhausted
from multipart import (
    MultipartSegment,
    ParserError,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

FILE_FIELD = "file"
MAX_FILE_BYTES = 50 * 1024 * 1024
# The form around the file: boundaries, headers, the other fields.
MAX_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024
_MAX_FIELD_BYTES = 8 * 1024
_MAX_FIELDS = 20
_PIECE_BYTES = 256 * 1024

CheckFields = Callable[[dict[str, str]], None]


@dataclass(slots=True)
class Upload:
    """The fields that came before the file, its name, and its content as it comes."""

    fields: dict[str, str]
    file_name: str
    content: AsyncIterator[bytes] = field(repr=False)


async def read_upload(
    content_type: str, body: AsyncIterator[bytes], check: CheckFields | None = None
) -> Upload:
    """Reads a form up to its file; the rest is read with `content`.

    `check` sees the fields before anything of the file is read. InvalidArgument when the form is
    malformed, has no file, two files, an empty file, or a field behind the file;
    ResourceExhausted (413) when the file is too large.
    """
    reader = _FormReader(content_type, body)
    events = reader.events()
    fields: dict[str, str] = {}
    async for segment, data in events:
        if segment.filename is not None:
            if segment.name != FILE_FIELD:
                raise _refused(f"the form's file is named {_name(segment)!r}: name it file")
            if check is not None:
                check(fields)
            return Upload(fields, segment.filename, _content(events, segment, data))
        fields[_name(segment)] = _text(segment, data)
    if check is not None:
        check(fields)
    raise _refused("the form has no file: send one as the field file")


class _FormReader:
    """The parts of a form: fields whole, files in pieces."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get("boundary")
        if not boundary:
            raise _refused("Content-Type names no boundary: let your HTTP library make the form")
        self._body = body
        self._in_file = False
        self._parser = PushMultipartParser(
            boundary,
            max_segment_count=_MAX_FIELDS,
            max_segment_size=MAX_FILE_BYTES,
        )

    async def events(self) -> AsyncGenerator[tuple[MultipartSegment, bytes], None]:
        """(segment, data): a field once with all its data; a file's pieces, then b""."""
        segment: MultipartSegment | None = None
        collected = bytearray()
        async for event in self._parsed():
            if isinstance(event, MultipartSegment):
                segment, collected = event, bytearray()
                self._in_file = event.filename is not None
            elif segment is None:
                raise _refused("the form is malformed")
            elif event is None:
                yield segment, b"" if segment.filename is not None else bytes(collected)
            elif segment.filename is not None:
                yield segment, bytes(event)
            else:
                collected += event
                if len(collected) > _MAX_FIELD_BYTES:
                    raise InvalidArgument(
                        f"the field has more than {_MAX_FIELD_BYTES} bytes: shorten it",
                        field=_name(segment),
                    )

    async def _parsed(self) -> AsyncGenerator[MultipartSegment | bytes | None, None]:
        try:
            async for chunk in self._body:
                if not chunk:
                    continue
                for event in self._parser.parse(chunk):
                    yield event
                if self._parser.closed:
                    return
            self._parser.close()
        except ParserLimitReached as error:
            if self._in_file:
                raise _too_large() from error
            raise _refused("the form has too many fields, or too long a head of one") from error
        except ParserError as error:
            raise _refused(
                "the form is malformed: let your HTTP library make it, with names in UTF-8"
            ) from error


async def _content(
    events: AsyncGenerator[tuple[MultipartSegment, bytes], None],
    segment: MultipartSegment,
    first: bytes,
) -> AsyncGenerator[bytes, None]:
    """The file's pieces; raises when the form goes on behind it, or there is nothing in it."""
    pieces = bytearray(first)
    count = len(first)
    ended = not first
    async for other, data in events:
        if other is not segment or ended:
            if other.filename is not None:
                raise _refused("the form has more than one file: send one request for each")
            raise InvalidArgument(
                "the field stands behind the file: put it before the file", field=_name(other)
            )
        ended = not data
        count += len(data)
        pieces += data
        while len(pieces) >= _PIECE_BYTES:
            yield bytes(pieces[:_PIECE_BYTES])
            del pieces[:_PIECE_BYTES]
    if not count:
        raise InvalidArgument(
            "the file is empty: choose another", field=FILE_FIELD, reason="EMPTY_FILE"
        )
    if pieces:
        yield bytes(pieces)


def _name(segment: MultipartSegment) -> str:
    return (segment.name or "")[:60]


def _text(segment: MultipartSegment, data: bytes) -> str:
    # A part's own charset is not believed: some of Python's codecs give what is no Unicode.
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument("the field is not UTF-8", field=_name(segment)) from error


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(why, field=FILE_FIELD, reason="FORM_INVALID")


def _too_large() -> ResourceExhausted:
    return ResourceExhausted(
        f"the file is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB: split it",
        field=FILE_FIELD,
        reason="BODY_TOO_LARGE",
    )
