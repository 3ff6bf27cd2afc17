"""SQL of trials that are over."""

from uuid import UUID

from fleetkit.postgres import FleetConnection


async def delete_trials(conn: FleetConnection, tenant_id: UUID, keep_days: int) -> int:
    """Deletes trials, with all that was said, `keep_days` after they last changed; how many."""
    result = await conn.execute(
        "with trial as (select conversation_id, visitor_id from conversation"
        "   where tenant_id = %(tenant_id)s and agent_version is null"
        "    and update_time < %(now)s - make_interval(days => %(keep_days)s)),"
        "  events as (delete from turn_events where tenant_id = %(tenant_id)s"
        "   and conversation_id in (select conversation_id from trial)),"
        "  messages as (delete from message where tenant_id = %(tenant_id)s"
        "   and conversation_id in (select conversation_id from trial)),"
        "  visitors as (delete from visitor where tenant_id = %(tenant_id)s"
        "   and visitor_id in (select visitor_id from trial))"
        " delete from conversation where tenant_id = %(tenant_id)s"
        "  and conversation_id in (select conversation_id from trial)",
        {"tenant_id": tenant_id, "now": conn.now(), "keep_days": keep_days},
    )
    return result.rowcount
