-- Runs of a tenant's own questions over its knowledge. Runs over the same questions share a set_id.
create table evaluation (
  tenant_id uuid not null,
  evaluation_id uuid primary key,
  set_id uuid not null,
  request_id text not null,
  request_sha256 bytea not null,
  name text not null,
  state text not null check (state in ('queued', 'running', 'ended', 'failed', 'cancelled')),
  error text not null default '',
  error_reason text not null default '',
  question_count int not null,
  done_count int not null default 0,
  not_reranked_count int not null default 0,
  knowledge_version bigint not null default 0,
  last_knowledge_version bigint not null default 0,
  fusion_version text not null default '',
  rerank_model text not null default '',
  rerank_version text not null default '',
  embedding_model text not null default '',
  figures jsonb not null default '[]',
  create_time timestamptz not null,
  begin_time timestamptz,
  end_time timestamptz,
  unique (tenant_id, evaluation_id),
  unique (tenant_id, request_id)
);
-- One at a time, so that nobody's questions crowd out searches that people wait for.
create unique index evaluation_under_way on evaluation (tenant_id) where state in ('queued', 'running');
select fleetkit_protect('evaluation');

-- A question, the documents that answer it, and of each way to order what was found the first ten
-- documents and the rank of the first right one.
create table evaluation_question (
  tenant_id uuid not null,
  evaluation_id uuid not null,
  ordinal int not null,
  question text not null,
  expected uuid[] not null,
  done boolean not null default false,
  relevance real not null default 0,
  bm25 uuid[] not null default '{}',
  dense uuid[] not null default '{}',
  fused uuid[] not null default '{}',
  reranked uuid[] not null default '{}',
  bm25_rank int,
  dense_rank int,
  fused_rank int,
  reranked_rank int,
  primary key (evaluation_id, ordinal),
  foreign key (tenant_id, evaluation_id) references evaluation (tenant_id, evaluation_id) on delete cascade
);
select fleetkit_protect('evaluation_question');
