"""Giving knowledge to retrieval."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FleetError, InvalidArgument

from gateway.clients import Clients
from gateway.shapes.knowledge import SOURCE_TYPES, WEBSITES, SourceRequest
from gateway.text import checked_text
from gateway.uploads import Upload

_WITH_PATHS = ("sitemap", "crawl")
_MAX_TEXT_BYTES = 4 * 1024 * 1024
# Of a form, before the file; our own pages also send their token.
FORM_FIELDS = ("title", "url", "external_id")
_UPLOAD_FIELDS = frozenset({*FORM_FIELDS, "csrf_token"})


def source_input(given: SourceRequest, where: str) -> pb.SourceInput:
    """A source given as JSON, `where` names it in a batch; InvalidArgument for a file."""
    prefix = f"{where}." if where else ""
    if given.type == "file":
        raise InvalidArgument(
            "a file comes as a multipart form: field file, Content-Type multipart/form-data",
            field=f"{prefix}type",
            reason="SOURCE_TYPE_UNSUPPORTED",
        )
    if given.type not in SOURCE_TYPES:
        raise InvalidArgument(
            f"{given.type[:60]!r} is no type of source: send one of {', '.join(SOURCE_TYPES)}, or "
            "a file as a multipart form",
            field=f"{prefix}type",
            reason="SOURCE_TYPE_UNSUPPORTED",
        )
    if given.type not in _WITH_PATHS:
        for name in ("include_paths", "exclude_paths"):
            if getattr(given, name):
                raise InvalidArgument(
                    f"only a sitemap or crawl has {name}: leave them out", field=f"{prefix}{name}"
                )
    if given.type in WEBSITES:
        return _website(given, prefix)
    text = checked_text(given.text, f"{prefix}text", _MAX_TEXT_BYTES)
    return pb.SourceInput(
        type=document_pb2.SOURCE_TYPE_TEXT,
        external_id=given.external_id,
        title=given.title,
        url=given.url,
        content=text.encode(),
        # Which retrieval refuses, rather than that they are left out unsaid.
        max_pages=given.max_pages,
        max_depth=given.max_depth,
    )


def _website(given: SourceRequest, prefix: str) -> pb.SourceInput:
    if given.text:
        raise InvalidArgument(
            "a website has no text: leave it out, or send type text", field=f"{prefix}text"
        )
    return pb.SourceInput(
        type=WEBSITES[given.type],
        external_id=given.external_id,
        title=given.title,
        url=given.url,
        max_pages=given.max_pages,
        max_depth=given.max_depth,
        include_paths=given.include_paths,
        exclude_paths=given.exclude_paths,
    )


def taken(outcome: pb.SourceOutcome) -> document_pb2.Source:
    """The source that was taken; InvalidArgument with field and remedy when it was refused."""
    if outcome.HasField("source"):
        return outcome.source
    raise InvalidArgument(
        outcome.error, field=outcome.error_field or None, reason=outcome.error_reason or None
    )


async def upload_source(clients: Clients, request_id: UUID, upload: Upload) -> document_pb2.Source:
    """Passes a file on as it comes; at no time is more than a piece of it held.

    Raises what is wrong with the form as soon as it is read: retrieval then keeps nothing.
    """
    header = _header(request_id, upload)
    # What is wrong at the beginning (an empty file) is said before retrieval is called.
    first = await anext(aiter(upload.content))
    broken: list[Exception] = []

    async def pieces() -> AsyncGenerator[pb.UploadSourceRequest, None]:
        yield pb.UploadSourceRequest(header=header)
        yield pb.UploadSourceRequest(data=first)
        try:
            async for piece in upload.content:
                yield pb.UploadSourceRequest(data=piece)
        except Exception as error:
            # gRPC cancels the call and hides the error, which is the client's to know.
            broken.append(error)
            raise

    try:
        response = await clients.retrieval.UploadSource(pieces())
    except (asyncio.CancelledError, FleetError):
        if broken:
            raise broken[0] from None
        raise
    return response.source


def _header(request_id: UUID, upload: Upload) -> pb.UploadHeader:
    unknown = sorted(set(upload.fields) - _UPLOAD_FIELDS)
    if unknown:
        raise InvalidArgument(
            f"the form has the field {unknown[0][:60]!r}: use {', '.join(FORM_FIELDS)} and file",
            field=unknown[0][:60],
        )
    source = pb.SourceInput(
        type=document_pb2.SOURCE_TYPE_FILE,
        external_id=upload.fields.get("external_id", ""),
        title=upload.fields.get("title", ""),
        url=upload.fields.get("url", ""),
        file_name=upload.file_name[:255],
    )
    return pb.UploadHeader(request_id=str(request_id), source=source)
