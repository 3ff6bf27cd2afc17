-- Another fusion or reranker for a share of a tenant's conversations.
create table experiment (
  tenant_id uuid not null,
  experiment_id uuid primary key,
  request_id text not null,
  request_sha256 bytea not null,
  name text not null,
  fusion_version text not null,
  rerank_model text not null,
  share_percent int not null check (share_percent between 1 and 100),
  running boolean not null default true,
  create_time timestamptz not null,
  change_time timestamptz not null,
  end_time timestamptz,
  unique (tenant_id, experiment_id),
  unique (tenant_id, request_id)
);
-- One at a time, so that a turn has one arm.
create unique index experiment_running on experiment (tenant_id) where running;
select fleetkit_protect('experiment');
