-- The newest revision that was seen of each aggregate, by type of event: older ones are dropped.
create table revision_seen (
  tenant_id uuid not null,
  type text not null,
  aggregate_id text not null,
  revision bigint not null,
  primary key (tenant_id, type, aggregate_id)
);
select fleetkit_protect('revision_seen');
