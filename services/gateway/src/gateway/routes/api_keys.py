"""API keys and the audit log."""

from typing import Annotated
from uuid import UUID

from fleetkit.postgres import FleetConnection
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.keys import NewKey, create_key, revoke_key
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import client_ip_of
from gateway.shapes.audit import AuditEntry, AuditLog
from gateway.shapes.common import (
    FromTime,
    IdPageToken,
    PageSize,
    ToTime,
    aware,
    id_of_token,
    time_asked,
)
from gateway.shapes.identity import ApiKey, ApiKeyList, CreateApiKeyRequest, CreatedApiKey
from gateway.store import api_keys as store
from gateway.store.audit import AuditFilter, AuditRow, audit_log
from gateway.text import checked_name

_TAGS = ["API keys"]
_LAST = UUID(int=(1 << 128) - 1)


@endpoint(
    "GET",
    "/v1/api-keys",
    Access(role=Role.ADMIN, scope="keys:read", local=True),
    tags=_TAGS,
    summary="List API keys",
)
async def get_api_keys(
    request: GatewayRequest, page_size: PageSize = 50, page_token: IdPageToken = ""
) -> ApiKeyList:
    """Keys that are not revoked, oldest first, without the keys themselves."""
    tenant_id = request.user.tenant_id
    async with parts_of(request).db.tenant(tenant_id) as conn:
        rows = await store.api_keys(conn, tenant_id, page_size + 1, id_of_token(page_token))
    more = len(rows) > page_size
    items = [_key(row) for row in rows[:page_size]]
    return ApiKeyList(items, str(items[-1].key_id) if more else "")


@endpoint(
    "POST",
    "/v1/api-keys",
    Access(role=Role.ADMIN, scope="keys:write", local=True),
    status_code=201,
    tags=_TAGS,
    summary="Make an API key",
)
async def post_api_key(
    request: GatewayRequest, data: JSONBody[CreateApiKeyRequest]
) -> CreatedApiKey:
    """A key that may do no more than its maker, shown this once."""
    wanted = NewKey(
        name=checked_name(data.name, "name"),
        role=Role.of(data.role),
        scopes=data.scopes,
        creator=request.user.subject,
        expire_time=aware(data.expire_time),
    )
    made = await create_key(parts_of(request).db, request.user, wanted, client_ip_of(request.scope))
    return CreatedApiKey(made.api_key, _key(made.row))


@endpoint(
    "DELETE",
    "/v1/api-keys/{key_id:uuid}",
    Access(role=Role.ADMIN, scope="keys:write", body="none", local=True),
    status_code=204,
    tags=_TAGS,
    summary="Revoke an API key",
)
async def delete_api_key(request: GatewayRequest, key_id: FromPath[UUID]) -> None:
    """Ends a key at once; in other replicas within five seconds."""
    parts = parts_of(request)
    await revoke_key(
        parts.db, parts.authenticator, request.user, key_id, client_ip_of(request.scope)
    )


@endpoint(
    "GET",
    "/v1/audit-log",
    Access(role=Role.ADMIN, scope="audit:read", local=True),
    tags=["Audit"],
    summary="Read the audit log",
)
async def get_audit_log(
    request: GatewayRequest,
    actor: Annotated[
        UUID | None, QueryParameter(name="actor", description="Only what this user or key did.")
    ] = None,
    action: Annotated[
        str,
        QueryParameter(
            name="action",
            description="Only this action, such as `api_key.created`.",
            max_length=80,
            required=False,
        ),
    ] = "",
    start: FromTime = None,
    end: ToTime = None,
    page_size: PageSize = 50,
    page_token: IdPageToken = "",
) -> AuditLog:
    """Who did what, newest first. Times without a zone are UTC."""
    tenant_id = request.user.tenant_id
    begins, ends = time_asked(start, "from"), time_asked(end, "to")
    wanted = AuditFilter(str(actor or ""), action, begins, ends)
    async with parts_of(request).db.tenant(tenant_id) as conn:
        rows, next_token = await audit_page(conn, tenant_id, page_size, page_token, wanted)
    return AuditLog([AuditEntry.of(row) for row in rows], next_token)


async def audit_page(
    conn: FleetConnection,
    tenant_id: UUID,
    size: int,
    page_token: str,
    wanted: AuditFilter,
) -> tuple[list[AuditRow], str]:
    """Lines of the log and the token of the next ones, "" after the last; also for the page."""
    before = id_of_token(page_token) or _LAST
    rows = await audit_log(conn, tenant_id, size + 1, before, wanted)
    shown = rows[:size]
    return shown, str(shown[-1].audit_id) if len(rows) > size else ""


def _key(row: store.ApiKeyRow) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        prefix=row.prefix,
        role=row.role,
        scopes=row.scopes,
        create_time=row.create_time,
        expire_time=row.expire_time,
        last_used_time=row.last_used_time,
    )


HANDLERS: list[HTTPRouteHandler] = [get_api_keys, post_api_key, delete_api_key, get_audit_log]
