"""The cost ledger as a file."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Literal

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import as_asked
from gateway.shapes.common import TIME_SCHEMA, stamp_of, time_asked, value_of

# A reader that takes longer is cut off: nothing of a file is kept for it.
_TIMEOUT_S = 300.0
_MEDIA_TYPE = "text/csv"
_SPEC = {
    200: ResponseSpec(str, generate_examples=False, description="The file.", media_type=_MEDIA_TYPE)
}


@endpoint(
    "GET",
    "/v1/costs/export",
    Access(role=Role.VIEWER, scope="costs:read", timeout_s=_TIMEOUT_S),
    responses=_SPEC,
    tags=["Costs"],
    summary="Download the ledger",
)
async def get_export(
    request: GatewayRequest,
    file_format: Annotated[
        Literal["csv", "focus"],
        QueryParameter(
            name="format",
            description="The ledger's own columns, or those of FOCUS 1.2.",
            required=False,
        ),
    ] = "csv",
    start: Annotated[
        str | None,
        QueryParameter(
            name="from",
            description="From this time; the first of this month, UTC, if unset.",
            schema_extra=TIME_SCHEMA,
        ),
    ] = None,
    end: Annotated[
        str | None,
        QueryParameter(
            name="to",
            description="Before this time, at most 366 days later; now if unset.",
            schema_extra=TIME_SCHEMA,
        ),
    ] = None,
) -> Stream:
    """Every row of a period, oldest first, as CSV.

    Amounts are in nano-dollars (csv) or dollars with all of their digits (focus). A transfer that
    breaks off is cut short, never ended as if it were whole.
    """
    wanted = pb.ExportUsageRequest(
        format=value_of(pb.ExportFormat, file_format, "EXPORT_FORMAT_", "format"),
        start_time=stamp_of(start, "from"),
        end_time=stamp_of(end, "to"),
    )
    pieces = _pieces(request, wanted)
    with as_asked():
        # Before the answer begins: what is refused is a problem, not half a file.
        first = await anext(pieces)
    name = "-".join(
        ["fleetdesk-costs", file_format, *_days(time_asked(start, "from"), time_asked(end, "to"))]
    )
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Stream(_joined(first, pieces), media_type=_MEDIA_TYPE, headers=headers)


async def _pieces(
    request: GatewayRequest, wanted: pb.ExportUsageRequest
) -> AsyncGenerator[bytes, None]:
    async for piece in parts_of(request).clients.models.ExportUsage(wanted):
        yield piece.data


async def _joined(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _days(start: datetime | None, end: datetime | None) -> list[str]:
    said = []
    if start is not None:
        said.append(f"from-{start:%Y-%m-%d}")
    if end is not None:
        said.append(f"to-{end:%Y-%m-%d}")
    return said


HANDLERS: list[HTTPRouteHandler] = [get_export]
