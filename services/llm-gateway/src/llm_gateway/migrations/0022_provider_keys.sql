-- Keys of tenants at providers, sealed (`fleetkit.vault`), and whose key each call went by.
create table provider_key (
  provider_key_id uuid primary key,
  tenant_id uuid not null,
  provider text not null,
  secrets_key_id text not null,
  sealed bytea not null,
  -- What is shown of it.
  last_four text not null,
  create_time timestamptz not null,
  unique (tenant_id, provider)
);
select fleetkit_protect('provider_key');

alter table usage_call
  add column paid_by text not null default 'fleet' check (paid_by in ('fleet', 'tenant'));
alter table usage_entry
  add column paid_by text not null default 'fleet' check (paid_by in ('fleet', 'tenant'));

-- As before, with `paid_by`; a program from before sends none.
create or replace function reserve_new_call(new_call usage_call, expires_in_s double precision)
returns uuid language plpgsql as $$
declare
  found_budgets budget[];
  counted budget;
  counted_window budget_window;
  target uuid;
  held uuid[] := '{}';
begin
  -- Shared: only who defines or recounts budgets waits for the tenant's calls.
  perform pg_advisory_xact_lock_shared(72617003, hashtext(new_call.tenant_id::text));
  if new_call.reserved_nanos > 0 then
    select array_agg(b order by b.budget_id) into found_budgets from budget b
      where b.tenant_id = new_call.tenant_id
        and coalesce(b.target_id = budget_target(b.level, new_call), true)
        and budget_target(b.level, new_call) is not null;
  end if;
  -- Missing windows are made before any lock is taken, so that nobody waits in a circle.
  foreach counted in array coalesce(found_budgets, '{}') loop
    perform from budget_window w where w.budget_id = counted.budget_id
      and w.target_id = budget_target(counted.level, new_call)
      and w.start_date = budget_start(new_call.create_time, counted.time_zone, counted.period);
    if not found then
      perform budget_open_window(counted, budget_target(counted.level, new_call),
        budget_start(new_call.create_time, counted.time_zone, counted.period));
    end if;
  end loop;
  foreach counted in array coalesce(found_budgets, '{}') loop
    select w.* into counted_window from budget_window w where w.budget_id = counted.budget_id
      and w.target_id = budget_target(counted.level, new_call)
      and w.start_date = budget_start(new_call.create_time, counted.time_zone, counted.period)
      for update;
    if counted.hard and counted_window.spent_nanos + counted_window.reserved_nanos
        + new_call.reserved_nanos > counted.limit_nanos then
      return counted_window.window_id;
    end if;
    held := held || counted_window.window_id;
  end loop;
  if held <> '{}' then
    update budget_window w set reserved_nanos = w.reserved_nanos + new_call.reserved_nanos
      where w.window_id = any(held);
  end if;
  insert into usage_call (call_id, tenant_id, create_time, expire_time, service, operation,
      provider, model, purpose, message_id, conversation_id, agent_id, visitor_id,
      knowledge_document_id, price_book_version, reserved, reserved_nanos, tier,
      tier_reason, holds, paid_by)
    values (new_call.call_id, new_call.tenant_id, new_call.create_time,
      clock_timestamp() + make_interval(secs => expires_in_s), new_call.service,
      new_call.operation, new_call.provider, new_call.model, new_call.purpose,
      new_call.message_id, new_call.conversation_id, new_call.agent_id, new_call.visitor_id,
      new_call.knowledge_document_id, new_call.price_book_version, new_call.reserved,
      new_call.reserved_nanos, new_call.tier, new_call.tier_reason, held,
      coalesce(new_call.paid_by, 'fleet'));
  return null;
end;
$$;

create or replace function settle_call(
  tenant uuid, settled_call uuid, new_status text, new_failure text, entries jsonb
) returns setof uuid language plpgsql as $$
declare
  closed usage_call;
  total bigint;
begin
  perform pg_advisory_xact_lock_shared(72617003, hashtext(tenant::text));
  update usage_call set status = new_status, failure = new_failure, finish_time = now()
    where tenant_id = tenant and call_id = settled_call and status = 'open'
    returning * into closed;
  if not found then
    raise exception 'the call is not open' using errcode = 'FD001';
  end if;
  insert into usage_entry (usage_id, tenant_id, call_id, create_time, status, service, provider,
      model, kind, purpose, units, price_nanos_per_million, price_book_version, amount_nanos,
      saved_nanos, baseline_nanos, message_id, conversation_id, agent_id, visitor_id, knowledge_document_id,
      tier, tier_reason, paid_by)
    select e.usage_id, tenant, settled_call, closed.create_time, e.status, closed.service,
      closed.provider, closed.model, e.kind, closed.purpose, e.units, e.price_nanos_per_million,
      closed.price_book_version, e.amount_nanos, e.saved_nanos, e.baseline_nanos, closed.message_id,
      closed.conversation_id, closed.agent_id, closed.visitor_id, closed.knowledge_document_id,
      closed.tier, closed.tier_reason, closed.paid_by
    from jsonb_to_recordset(entries) as e(usage_id uuid, status text, kind text, units bigint,
      price_nanos_per_million bigint, amount_nanos bigint, saved_nanos bigint, baseline_nanos bigint);
  if closed.holds = '{}' then
    return;
  end if;
  select coalesce(sum((e->>'amount_nanos')::bigint), 0) into total
    from jsonb_array_elements(entries) e;
  perform from budget_window w where w.window_id = any(closed.holds)
    order by w.budget_id for update;
  return query
    with counted as (
      update budget_window w set spent_nanos = w.spent_nanos + total,
          reserved_nanos = w.reserved_nanos - closed.reserved_nanos
        where w.window_id = any(closed.holds)
        returning w.window_id, w.budget_id, w.spent_nanos, w.warned_percent)
    select c.window_id from counted c join budget b using (budget_id)
      where c.warned_percent < 100 and c.spent_nanos * 10 >= b.limit_nanos
          * case c.warned_percent when 0 then 8 when 80 then 9 else 10 end;
end;
$$;
