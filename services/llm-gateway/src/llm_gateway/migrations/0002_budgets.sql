-- Budgets, and what of them is spent and reserved.
--
-- A call's reservation is counted in the statement that writes it, so that calls at once cannot
-- spend the same room twice. Locks are taken in the order of budget ids, each held no longer than
-- one statement and its commit; calls of different tenants share none.

-- The tenant's time zone, in which its days and months begin; UTC where there is no row.
create table budget_setting (
  tenant_id uuid primary key,
  time_zone text not null
);
select fleetkit_protect('budget_setting');

create table budget (
  budget_id uuid primary key,
  tenant_id uuid not null,
  level text not null check (level in ('tenant', 'agent', 'conversation', 'visitor')),
  -- The one agent, conversation or visitor that it is for; null: each of them by itself.
  target_id uuid,
  period text not null check (period in ('day', 'month')),
  -- At most $100 million, so that shares of it can be compared without overflow.
  limit_nanos bigint not null check (limit_nanos between 1 and 100000000000000000),
  -- A hard one refuses the call that could exceed it, a soft one only warns.
  hard boolean not null,
  time_zone text not null,
  create_time timestamptz not null,
  -- Every call since then was counted; what was before in a window is read from the ledger.
  count_time timestamptz not null,
  check (level <> 'tenant' or target_id is null),
  unique (tenant_id, budget_id),
  unique nulls not distinct (tenant_id, level, target_id, period, hard)
);
select fleetkit_protect('budget');

-- A day or month of one target of a budget. Derived from calls and entries; `run recount-budgets`
-- derives it again.
create table budget_window (
  window_id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  budget_id uuid not null,
  -- The agent, conversation or visitor; the tenant itself at its level.
  target_id uuid not null,
  -- The first day, in the tenant's time zone.
  start_date date not null,
  spent_nanos bigint not null default 0,
  reserved_nanos bigint not null default 0,
  -- The highest warning that was given: 0, 80, 90 or 100.
  warned_percent smallint not null default 0,
  -- When a refusal was first told of, by the fleet clock.
  refuse_time timestamptz,
  unique (budget_id, target_id, start_date),
  foreign key (tenant_id, budget_id) references budget (tenant_id, budget_id) on delete cascade
) with (fillfactor = 50);
create index budget_window_start on budget_window (tenant_id, start_date);
select fleetkit_protect('budget_window');

-- The windows in which an open call's reservation is counted.
alter table usage_call add column holds uuid[] not null default '{}';
create index usage_entry_visitor on usage_entry (tenant_id, visitor_id, create_time)
  where visitor_id is not null;

-- What the calls' units had cost on the price book's baseline model, uncached; null where the row
-- was written before there was one.
alter table usage_entry add column baseline_nanos bigint;

-- The target that a budget's level means for a call or an entry; null where that has none.
create function budget_target(level text, of_call usage_call) returns uuid
language sql immutable as $$
  select case level when 'tenant' then of_call.tenant_id when 'agent' then of_call.agent_id
    when 'conversation' then of_call.conversation_id when 'visitor' then of_call.visitor_id end
$$;
create function budget_target(level text, of_entry usage_entry) returns uuid
language sql immutable as $$
  select case level when 'tenant' then of_entry.tenant_id when 'agent' then of_entry.agent_id
    when 'conversation' then of_entry.conversation_id when 'visitor' then of_entry.visitor_id end
$$;

-- The first day of the window that a time falls into, in a time zone.
create function budget_start(at timestamptz, zone text, period text) returns date
language sql immutable as $$
  select date_trunc(period, at at time zone zone)::date
$$;

-- Sums up a window from the ledger: entries written, and reservations of open calls that hold it.
create function budget_recount(counted_window uuid) returns void language plpgsql as $$
begin
  update budget_window w
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
    from budget b
    where w.window_id = counted_window and b.budget_id = w.budget_id;
end;
$$;

-- Makes a window unless it is there. Where calls of its time came before its budget, they are
-- counted in: open ones first (that waits for those just being settled), then what they cost.
create function budget_open_window(opened budget, target uuid, start date) returns void
language plpgsql as $$
declare
  made uuid;
begin
  insert into budget_window (tenant_id, budget_id, target_id, start_date)
    values (opened.tenant_id, opened.budget_id, target, start)
    on conflict do nothing returning window_id into made;
  if made is null or start::timestamp at time zone opened.time_zone >= opened.count_time then
    return;
  end if;
  update usage_call set holds = holds || made
    where tenant_id = opened.tenant_id and status = 'open'
      and budget_target(opened.level, usage_call) = target
      and budget_start(create_time, opened.time_zone, opened.period) = start;
  perform budget_recount(made);
end;
$$;

-- Reserves a call in every budget that it falls under and writes it; or, where a hard one has no
-- room, writes nothing and returns that window.
create function reserve_call(new_call usage_call, expires_in_s double precision)
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
      tier_reason, holds)
    values (new_call.call_id, new_call.tenant_id, new_call.create_time,
      clock_timestamp() + make_interval(secs => expires_in_s), new_call.service,
      new_call.operation, new_call.provider, new_call.model, new_call.purpose,
      new_call.message_id, new_call.conversation_id, new_call.agent_id, new_call.visitor_id,
      new_call.knowledge_document_id, new_call.price_book_version, new_call.reserved,
      new_call.reserved_nanos, new_call.tier, new_call.tier_reason, held);
  return null;
end;
$$;

-- Closes an open call with its entries, and counts them in place of its reservation. Returns the
-- windows whose next warning is due; an exception of SQLSTATE FD001 when the call is not open.
create function settle_call(
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
      tier, tier_reason)
    select e.usage_id, tenant, settled_call, closed.create_time, e.status, closed.service,
      closed.provider, closed.model, e.kind, closed.purpose, e.units, e.price_nanos_per_million,
      closed.price_book_version, e.amount_nanos, e.saved_nanos, e.baseline_nanos, closed.message_id,
      closed.conversation_id, closed.agent_id, closed.visitor_id, closed.knowledge_document_id,
      closed.tier, closed.tier_reason
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

do $$
declare
  name text;
begin
  foreach name in array array['budget_target', 'budget_start', 'budget_recount',
      'budget_open_window', 'reserve_call', 'settle_call'] loop
    execute (select string_agg(format('grant execute on function %s to %I;', p.oid::regprocedure,
        current_schema()), ' ')
      from pg_proc p where p.pronamespace = current_schema()::regnamespace and p.proname = name);
  end loop;
end;
$$;
