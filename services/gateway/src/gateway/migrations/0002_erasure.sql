-- Erasures and who has answered them. They outlive the tenant: the receipt is all that is left.
create table erasure (
  tenant_id uuid not null,
  erasure_id uuid not null,
  kind text not null check (kind in ('visitor', 'tenant')),
  request_time timestamptz not null,
  finish_time timestamptz,
  primary key (tenant_id, erasure_id)
);
select fleetkit_protect('erasure');

create table erasure_answer (
  tenant_id uuid not null,
  erasure_id uuid not null,
  service text not null,
  complete_time timestamptz not null,
  -- Rows by table, "blobs" for files.
  counts jsonb not null,
  primary key (tenant_id, erasure_id, service),
  foreign key (tenant_id, erasure_id) references erasure
);
select fleetkit_protect('erasure_answer');

-- A receipt is opened by a token, also when nobody can sign in any more.
alter table credential_index drop constraint credential_index_kind_check;
alter table credential_index add constraint credential_index_kind_check
  check (kind in ('email', 'session', 'api_key', 'agent', 'erasure'));
