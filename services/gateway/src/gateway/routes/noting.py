"""Lines of the audit log that several routes write."""

from gateway import audit
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import client_ip_of


async def note(request: GatewayRequest, action: str, target: str, **facts: str) -> None:
    """A line about what was changed in another service; `facts` are no text of people."""
    principal = request.user
    actor = audit.actor_of(principal, client_ip_of(request.scope))
    async with parts_of(request).db.tenant(principal.tenant_id) as conn:
        await audit.record(conn, principal.tenant_id, actor, action, target, facts)
