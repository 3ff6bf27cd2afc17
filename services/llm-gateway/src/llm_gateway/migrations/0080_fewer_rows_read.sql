-- What a first call of a conversation and a kept answer read is no more than what is about them.

-- As before, but planned for the window's level and target, so that what a conversation or a
-- visitor spent is found by its index: a new conversation read all that the tenant spent in the
-- month in which the budget was made.
create or replace function budget_recount(counted_window uuid) returns void language plpgsql
set plan_cache_mode = force_custom_plan as $$
declare
  w budget_window;
  b budget;
begin
  select * into strict w from budget_window where window_id = counted_window;
  select * into strict b from budget where budget_id = w.budget_id;
  update budget_window
    set spent_nanos = coalesce((
        select sum(e.amount_nanos) from usage_entry e
        where e.tenant_id = w.tenant_id
          and e.create_time >= (w.start_date - 1)::timestamp at time zone 'UTC'
          and e.create_time < (w.start_date + interval '33 days') at time zone 'UTC'
          and budget_start(e.create_time, b.time_zone, b.period) = w.start_date
          and budget_target(b.level, e) = w.target_id), 0),
      reserved_nanos = coalesce((
        select sum(c.reserved_nanos) from usage_call c
        where c.tenant_id = w.tenant_id and c.status = 'open' and w.window_id = any(c.holds)), 0)
    where window_id = counted_window;
end;
$$;

-- As before, by age alone: an answer is too old when it was kept as long ago as this one will be.
-- The index is walked from its newest end; a bitmap of it also visits what was deleted and not yet
-- cleaned up, which is several times the rows that there are.
create or replace function keep_response(kept cached_response, call uuid, most int) returns void
language plpgsql set enable_bitmapscan = off as $$
begin
  insert into cached_response
    select kept.tenant_id, kept.cache_key, kept.create_time, kept.expire_time, kept.agent_id,
        kept.visitor_id, kept.conversation_id, kept.model, kept.answer, kept.citations,
        kept.support, kept.tier, sum(e.amount_nanos),
        sum(coalesce(e.baseline_nanos, e.amount_nanos + e.saved_nanos))
      from usage_entry e where e.tenant_id = kept.tenant_id and e.call_id = call
      having count(*) > 0
    on conflict (tenant_id, cache_key) do update set create_time = excluded.create_time,
      expire_time = excluded.expire_time, agent_id = excluded.agent_id,
      visitor_id = excluded.visitor_id, conversation_id = excluded.conversation_id,
      model = excluded.model, answer = excluded.answer, citations = excluded.citations,
      support = excluded.support, tier = excluded.tier, saved_nanos = excluded.saved_nanos,
      baseline_nanos = excluded.baseline_nanos;
  delete from cached_response r where r.tenant_id = kept.tenant_id and r.create_time < greatest(
    kept.create_time - (kept.expire_time - kept.create_time),
    (select c.create_time from cached_response c where c.tenant_id = kept.tenant_id
      order by c.create_time desc offset most - 1 limit 1));
end;
$$;
