-- What savings are reckoned from.

-- Of entries that are older, or whose event did not say: the price is not known, and the baseline
-- is what the model itself would have cost without a cache.
alter table cost_entry add column price_nanos_per_million bigint;
alter table cost_entry add column baseline_nanos bigint;

-- What became of frames of shared screens, as vision-agent's events count them.
create table frame_batch (
  tenant_id uuid not null,
  event_id uuid not null,
  occur_time timestamptz not null,
  captured_count bigint not null,
  kept_count bigint not null,
  superseded_count bigint not null,
  read_count bigint not null,
  primary key (tenant_id, event_id)
);
create index frame_batch_time on frame_batch (tenant_id, occur_time);
select fleetkit_protect('frame_batch');

-- The ledger's units by the hour (UTC); the nil UUID for no agent. Derived as the other sums are.
create table unit_hour (
  tenant_id uuid not null,
  hour timestamptz not null,
  agent_id uuid not null,
  model text not null,
  kind text not null,
  price_nanos_per_million bigint not null,
  units bigint not null,
  amount_nanos bigint not null,
  saved_nanos bigint not null,
  baseline_nanos bigint not null,
  unconfirmed_nanos bigint not null,
  primary key (tenant_id, hour, agent_id, model, kind, price_nanos_per_million)
);
select fleetkit_protect('unit_hour');

-- The hours of entries that are there.
do $$
declare
  tenant uuid;
begin
  for tenant in select tenant_id from known_tenants loop
    perform set_config('fleetdesk.tenant_id', tenant::text, true);
    insert into hour_mark (tenant_id, hour)
      select distinct tenant, date_trunc('hour', create_time, 'UTC') from cost_entry
      where tenant_id = tenant;
  end loop;
end;
$$;
