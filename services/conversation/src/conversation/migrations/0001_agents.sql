-- Agents, their published versions, and the results of repeated requests.

create table agent (
  tenant_id uuid not null,
  agent_id uuid not null,
  draft jsonb not null,
  published_version int not null default 0,
  revision bigint not null default 1,
  create_time timestamptz not null,
  update_time timestamptz not null,
  primary key (tenant_id, agent_id)
);
select fleetkit_protect('agent');

create table agent_version (
  tenant_id uuid not null,
  agent_id uuid not null,
  version int not null check (version > 0),
  config jsonb not null,
  publisher text not null,
  create_time timestamptz not null,
  primary key (tenant_id, agent_id, version),
  foreign key (tenant_id, agent_id) references agent on delete cascade
);
select fleetkit_protect('agent_version');

-- Conversations are pinned to a version, so a version never changes.
create function refuse_change_of_version() returns trigger language plpgsql as $$
begin
  raise exception 'versions never change';
end;
$$;
create trigger agent_version_immutable before update on agent_version
  for each row execute function refuse_change_of_version();

-- request_id of a mutating call → what it made. `fingerprint` tells the same request from another
-- one under the same id.
create table request (
  tenant_id uuid not null,
  method text not null,
  request_id text not null,
  fingerprint bytea not null,
  result_id uuid not null,
  create_time timestamptz not null default now(),
  primary key (tenant_id, method, request_id)
);
create index request_create_time on request (tenant_id, create_time);
select fleetkit_protect('request');
