-- Which plan a tenant is on. `plan_id` names a plan of plans.toml.
create table subscription (
  tenant_id uuid primary key,
  plan_id text not null,
  seats bigint not null check (seats > 0),
  status text not null check (status in ('active', 'trial', 'past_due', 'canceled')),
  period_start_time timestamptz not null,
  period_end_time timestamptz not null check (period_end_time > period_start_time),
  revision bigint not null default 1
);
select fleetkit_protect('subscription');
