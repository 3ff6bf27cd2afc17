"""Settings → Audit: the log of what people and keys have changed."""

from datetime import UTC, date, datetime, time, timedelta

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.access import Access
from gateway.auth.keys import MAX_KEYS
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.api_keys import audit_page
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, show
from gateway.store.api_keys import api_keys
from gateway.store.audit import AuditFilter, actor_names
from gateway.store.members import members
from gateway.team import MAX_PEOPLE
from gateway.views.audit import DID, PATH, Asked, audit_view

_LINES = 50
_OWN_ROWS = Access(role=Role.ADMIN, body="form", local=True)
_DAY = timedelta(days=1)


@page("GET", PATH, _OWN_ROWS)
async def get_audit(request: GatewayRequest) -> Response:
    """Who did what, newest first; by person, action and days."""
    parts, tenant_id = parts_of(request), request.user.tenant_id
    wanted = Asked(
        who=asked(request, "who"),
        did=asked_of(request, "did", DID),
        first=_day(asked(request, "from")),
        last=_day(asked(request, "to")),
    )
    token = asked(request, "page_token")
    async with parts.db.tenant(tenant_id) as conn:
        rows, next_token = await audit_page(conn, tenant_id, _LINES, token, _filter(wanted))
        people = await members(conn, tenant_id, MAX_PEOPLE)
        keys = await api_keys(conn, tenant_id, MAX_KEYS, None)
        actors = {str(row.user_id): row.email for row in people}
        actors |= {str(row.key_id): row.name for row in keys}
        others = {wanted.who, *(row.actor for row in rows)} - actors.keys()
        names = actors | await actor_names(conn, tenant_id, sorted(others))
    view = audit_view(rows, actors, names, wanted, (token, next_token), parts.clock.now())
    return show(request, "audit", "settings/audit.html", view=view)


def _filter(wanted: Asked) -> AuditFilter:
    begins = datetime.combine(wanted.first, time.min, UTC) if wanted.first else None
    ends = datetime.combine(wanted.last + _DAY, time.min, UTC) if wanted.last else None
    return AuditFilter(wanted.who, wanted.did, begins, ends)


def _day(text: str) -> date | None:
    """The day that a text is; None for what is none, or has no day after it."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day < date.max else None


HANDLERS: list[HTTPRouteHandler] = [get_audit]
