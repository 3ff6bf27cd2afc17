-- A source may be a website, which has many documents. What it has of its own, its original, is
-- then null: each page has one.
alter table source drop constraint source_type_check;
alter table source add constraint source_type_check
  check (type in ('file', 'text', 'url', 'sitemap', 'crawl'));
alter table source alter column content_id drop not null;
alter table source alter column content_sha256 drop not null;
alter table source add constraint source_original
  check (type in ('url', 'sitemap', 'crawl') or content_id is not null and content_sha256 is not null);

alter table document drop constraint document_source_id_key;
create index document_source on document (tenant_id, source_id, document_id);
alter table document drop constraint document_status_check;
alter table document add constraint document_status_check
  check (status in ('queued', 'fetching', 'parsing', 'embedding', 'ready', 'failed'));

-- How a website is read. A run visits all its pages once; `run` counts them. `planned` says that
-- the run knows where to begin, `truncated` that it did not see everything: nothing then counts as
-- gone.
create table site (
  tenant_id uuid not null,
  source_id uuid primary key,
  state text not null check (state in ('queued', 'running', 'ended', 'failed', 'cancelled')),
  run int not null default 0,
  planned boolean not null default false,
  truncated boolean not null default false,
  error text not null default '',
  error_reason text not null default '',
  max_pages int not null,
  max_depth int not null,
  begin_time timestamptz,
  end_time timestamptz,
  sync_every_s int not null default 0,
  next_sync_time timestamptz,
  foreign key (tenant_id, source_id) references source (tenant_id, source_id) on delete cascade
);
create index site_next_sync on site (tenant_id, next_sync_time) where next_sync_time is not null;
select fleetkit_protect('site');

-- A page of a website, and the document of the same id, unless `skipped` says why it has none.
-- `run` is the last run that found it, `visited_run` the last that fetched it; `links` is where it
-- led, for when it comes back unchanged. `misses` counts runs in a row in which it was gone.
create table page (
  tenant_id uuid not null,
  page_id uuid primary key,
  source_id uuid not null,
  url text not null,
  depth int not null,
  run int not null,
  visited_run int not null default 0,
  attempts int not null default 0,
  misses int not null default 0,
  skipped text not null default '',
  etag text not null default '',
  last_modified text not null default '',
  links text[] not null default '{}',
  content_id uuid,
  content_sha256 bytea,
  byte_count bigint not null default 0,
  revision bigint not null default 0,
  unique (tenant_id, source_id, url),
  foreign key (tenant_id, source_id) references source (tenant_id, source_id) on delete cascade
);
create index page_frontier on page (tenant_id, source_id, run, attempts, depth, page_id);
create index page_content on page (tenant_id, content_id) where content_id is not null;
select fleetkit_protect('page');
