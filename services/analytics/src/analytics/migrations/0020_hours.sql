-- Sums by the hour (UTC), so that a period of months is read from its hours and not from its facts.
--
-- Derived: whoever writes a fact leaves a mark on each hour that it was or is in, in the fact's
-- transaction. Marked hours are derived anew before they are read, and every quarter of an hour.
-- A mark is a row of its own and is never updated: writers of facts don't wait for each other, and
-- a mark that is seen means that its fact is.
create table hour_mark (
  tenant_id uuid not null,
  mark_id bigint generated always as identity,
  hour timestamptz not null,
  primary key (tenant_id, mark_id)
);
create index hour_mark_hour on hour_mark (tenant_id, hour);
select fleetkit_protect('hour_mark');

-- Turns that ended. Times are those of turns that ended well, as 4 bytes each (big-endian), in
-- order: percentiles stay exact.
create table turn_hour (
  tenant_id uuid not null,
  hour timestamptz not null,
  agent_id uuid not null,
  total bigint not null,
  answered bigint not null,
  clarify bigint not null,
  handoff bigint not null,
  canceled bigint not null,
  failed bigint not null,
  -- Sum over the answered.
  confidence_millis bigint not null,
  first_token_ms bytea not null,
  duration_ms bytea not null,
  primary key (tenant_id, hour, agent_id)
);
select fleetkit_protect('turn_hour');

-- Conversations that began; the nil UUID for no agent.
create table conversation_hour (
  tenant_id uuid not null,
  hour timestamptz not null,
  agent_id uuid not null,
  outcome text not null,
  handoff_reason text not null,
  total bigint not null,
  closed bigint not null,
  amount_nanos bigint not null,
  primary key (tenant_id, hour, agent_id, outcome, handoff_reason)
);
select fleetkit_protect('conversation_hour');

-- Entries of the cost ledger; the nil UUID for no agent.
create table cost_hour (
  tenant_id uuid not null,
  hour timestamptz not null,
  agent_id uuid not null,
  service text not null,
  model text not null,
  purpose text not null,
  amount_nanos bigint not null,
  saved_nanos bigint not null,
  unconfirmed_nanos bigint not null,
  primary key (tenant_id, hour, agent_id, service, model, purpose)
);
select fleetkit_protect('cost_hour');

-- The hours of facts that are there.
do $$
declare
  tenant uuid;
begin
  for tenant in select tenant_id from known_tenants loop
    perform set_config('fleetdesk.tenant_id', tenant::text, true);
    insert into hour_mark (tenant_id, hour)
      select tenant, hour from (
        select date_trunc('hour', occur_time, 'UTC') from turn where tenant_id = tenant
        union select date_trunc('hour', start_time, 'UTC') from conversation
          where tenant_id = tenant and start_time is not null
        union select date_trunc('hour', create_time, 'UTC') from cost_entry
          where tenant_id = tenant) known (hour);
  end loop;
end;
$$;
