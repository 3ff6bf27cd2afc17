-- Passages of different documents that say the same, or sentences of them that contradict each
-- other; `chunk_no` is the lower one of a pair. They go with either passage, and are found anew
-- when a document is read again.
create table conflict (
  tenant_id uuid not null,
  conflict_id uuid primary key,
  kind text not null check (kind in ('duplicate', 'contradiction')),
  reason text not null,
  score real not null,
  chunk_no bigint not null,
  span_start int not null,
  span_end int not null,
  other_chunk_no bigint not null,
  other_span_start int not null,
  other_span_end int not null,
  create_time timestamptz not null,
  unique (tenant_id, chunk_no, span_start, other_chunk_no, other_span_start),
  foreign key (tenant_id, chunk_no) references chunk (tenant_id, chunk_no) on delete cascade,
  foreign key (tenant_id, other_chunk_no) references chunk (tenant_id, chunk_no) on delete cascade
);
create index conflict_list on conflict (tenant_id, conflict_id desc);
create index conflict_other on conflict (tenant_id, other_chunk_no);
select fleetkit_protect('conflict');
