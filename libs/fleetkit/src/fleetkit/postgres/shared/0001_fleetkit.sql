-- What every service's schema has. Runs as the schema's owner; the serving role has the
-- schema's own name.

-- Puts a tenant table under the policy that every tenant table has, and lets the serving role
-- use it. The sub-select makes the setting one evaluation per statement; a connection that served
-- a tenant before has '' in it, not null.
create function fleetkit_protect(target text) returns void language plpgsql as $$
declare
  relation text := format('%I.%I', current_schema(), target);
begin
  execute format('alter table %s enable row level security', relation);
  execute format('alter table %s force row level security', relation);
  execute format(
    'create policy tenant_isolation on %s
       using (tenant_id = (select nullif(current_setting(''fleetdesk.tenant_id'', true), '''')::uuid))
       with check (tenant_id = (select nullif(current_setting(''fleetdesk.tenant_id'', true), '''')::uuid))',
    relation);
  execute format('grant select, insert, update, delete on %s to %I', relation, current_schema());
end;
$$;

-- Lets the serving role use a table that is exempt (see exempt.toml) as far as `privileges` says.
create function fleetkit_share(target text, privileges text) returns void language plpgsql as $$
begin
  execute format('grant %s on %I.%I to %I', privileges, current_schema(), target, current_schema());
end;
$$;

-- Events to be published, written in the transaction that they tell of. Partitioned by day, so
-- that old days are dropped whole. create_time is real time: the fleet clock may jump.
create table outbox (
  id bigint generated always as identity,
  event_id uuid not null,
  tenant_id uuid not null,
  subject text not null,
  type text not null,
  headers jsonb not null,
  body text not null,
  revision bigint not null,
  create_time timestamptz not null default clock_timestamp(),
  publish_time timestamptz,
  primary key (id, create_time)
) partition by range (create_time);
create index outbox_unpublished on outbox (id) where publish_time is null;
create table outbox_default partition of outbox default;
select fleetkit_share('outbox', 'select, insert, update');

-- Makes the partitions of today and the next days, moving rows that came before their partition.
create function fleetkit_outbox_extend(days int) returns void
language plpgsql security definer set search_path from current as $$
declare
  day date;
  name text;
begin
  -- Two callers at once would make the same partition.
  perform pg_advisory_xact_lock(72617002, hashtext(current_schema()));
  for day in
    select generate_series(current_date, current_date + days, interval '1 day')::date
    union select create_time::date from outbox_default
    order by 1
  loop
    name := format('outbox_%s', to_char(day, 'YYYYMMDD'));
    continue when to_regclass(name) is not null;
    execute format('create table %I (like outbox including defaults including constraints)', name);
    execute format(
      'with moved as (delete from outbox_default where create_time >= %L and create_time < %L returning *)
       insert into %I select * from moved', day, day + 1, name);
    execute format(
      'alter table outbox attach partition %I for values from (%L) to (%L)', name, day, day + 1);
  end loop;
end;
$$;

-- Drops the partitions whose last day is more than `keep_days` ago and holds nothing unpublished.
-- Returns how many.
create function fleetkit_outbox_expire(keep_days int) returns int
language plpgsql security definer set search_path from current as $$
declare
  partition regclass;
  waiting boolean;
  dropped int := 0;
begin
  for partition in
    select inhrelid::regclass from pg_inherits
    where inhparent = 'outbox'::regclass
      and inhrelid::regclass::text ~ '^outbox_\d{8}$'
      and to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') < current_date - keep_days
  loop
    execute format('select exists (select from %s where publish_time is null)', partition)
      into waiting;
    continue when waiting;
    execute format('drop table %s', partition);
    dropped := dropped + 1;
  end loop;
  return dropped;
end;
$$;
select fleetkit_outbox_extend(3);

-- Events that were handled: an event delivered again does nothing.
create table inbox (
  event_id uuid primary key,
  tenant_id uuid not null,
  subject text not null,
  receive_time timestamptz not null default now()
);
create index inbox_receive_time on inbox (receive_time);
select fleetkit_share('inbox', 'select, insert, delete');

-- Events that a handler could not take, kept until they are handled by hand.
create table dead_letter (
  event_id uuid primary key,
  tenant_id uuid not null,
  subject text not null,
  headers jsonb not null,
  body text not null,
  deliveries int not null,
  error text not null,
  create_time timestamptz not null default now()
);
create index dead_letter_tenant on dead_letter (tenant_id, create_time);
select fleetkit_protect('dead_letter');

-- Work to be done after a commit. Ids only. run_at is by the fleet clock, leases by real time.
create table job (
  job_id uuid primary key,
  tenant_id uuid not null,
  kind text not null,
  subject_id uuid not null,
  payload jsonb not null default '{}',
  state text not null default 'queued' check (state in ('queued', 'running', 'dead')),
  run_at timestamptz not null,
  attempts int not null default 0,
  lease_id uuid,
  lease_until timestamptz,
  last_error text,
  create_time timestamptz not null default now()
);
create unique index job_queued_once on job (tenant_id, kind, subject_id) where state = 'queued';
create index job_due on job (run_at) where state = 'queued';
create index job_running on job (tenant_id, kind, subject_id) where state = 'running';
select fleetkit_share('job', 'select, insert, update, delete');

-- Tenants that this service has heard of by events, for jobs that visit every tenant.
create table known_tenants (
  tenant_id uuid primary key,
  create_time timestamptz not null default now()
);
select fleetkit_share('known_tenants', 'select, insert, delete');

-- Hashes of erased ids: late events and calls about them do nothing.
create table tombstone (
  tenant_id uuid not null,
  kind text not null,
  id_sha256 bytea not null,
  create_time timestamptz not null default now(),
  primary key (tenant_id, kind, id_sha256)
);
select fleetkit_protect('tombstone');

select fleetkit_share('schema_migration', 'select');

-- Only the owner changes what the policy is; the outbox's upkeep belongs to the relay.
do $$
begin
  execute format('grant execute on function fleetkit_outbox_extend(int), fleetkit_outbox_expire(int) to %I', current_schema());
end;
$$;
