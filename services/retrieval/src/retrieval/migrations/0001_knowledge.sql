-- What a tenant gave as knowledge. `content_id` names the original in the blob store; a new
-- content gets a new id, and `revision` counts contents and syncs.
create table source (
  tenant_id uuid not null,
  source_id uuid primary key,
  type text not null check (type in ('file', 'text')),
  external_id text,
  given_title text not null,
  url text not null,
  file_name text not null,
  content_id uuid not null,
  content_sha256 bytea not null,
  byte_count bigint not null,
  revision bigint not null default 1,
  create_time timestamptz not null,
  update_time timestamptz not null,
  unique (tenant_id, source_id)
);
create unique index source_external_id on source (tenant_id, external_id) where external_id is not null;
create index source_content on source (tenant_id, content_id);
select fleetkit_protect('source');

-- The text of a source, as its chunks' spans count it. Text, title and chunks change together, in
-- one transaction; while a new content is being read the former ones stay.
create table document (
  tenant_id uuid not null,
  document_id uuid primary key,
  source_id uuid not null unique,
  status text not null check (status in ('queued', 'parsing', 'embedding', 'ready', 'failed')),
  error text not null default '',
  error_reason text not null default '',
  media_type text not null default '',
  title text not null default '',
  text text not null default '',
  chunk_count int not null default 0,
  update_time timestamptz not null,
  unique (tenant_id, document_id),
  foreign key (tenant_id, source_id) references source (tenant_id, source_id) on delete cascade
);
create index document_status on document (tenant_id, status);
select fleetkit_protect('document');

-- Answers to mutating calls by their request_id, so that a repeated call does nothing new.
create table request (
  tenant_id uuid not null,
  request_id text not null,
  request_sha256 bytea not null,
  outcomes jsonb not null,
  create_time timestamptz not null,
  primary key (tenant_id, request_id)
);
create index request_create_time on request (tenant_id, create_time);
select fleetkit_protect('request');
