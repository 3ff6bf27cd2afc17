-- The index in blocks: a search of a large tenant reads some hundred rows instead of tens of
-- thousands. Each passage has a slot, a small number of its own within the tenant; blocks are
-- arrays by slot, all little-endian. Packed and read by `retrieval.index.packing`.
alter table index_stat add column slot_count int not null default 0;
alter table chunk add column slot int, add unique (tenant_id, slot);
-- The distinct terms of the document's passages, compressed: which lists it is to be taken out of.
alter table document add column index_terms bytea not null default '';

-- The passages that have a term: slots (int4) in order, then their weights (uint1). A list goes on
-- in the block with the next higher `first_slot`; a block never leaves its page.
create table posting_block (
  tenant_id uuid not null,
  term text collate "C" not null,
  first_slot int not null,
  postings bytea not null,
  primary key (tenant_id, term, first_slot)
);
alter table posting_block alter column postings set storage plain;
select fleetkit_protect('posting_block');

-- Lengths of passages as BM25 counts them (uint2), 0 where the slot is free.
create table length_block (
  tenant_id uuid not null,
  first_slot int not null,
  lengths bytea not null,
  primary key (tenant_id, first_slot)
);
alter table length_block alter column lengths set storage plain;
select fleetkit_protect('length_block');

-- The signs of the vectors' components, one bit each: the first look of a dense search.
create table code_block (
  tenant_id uuid not null,
  model text not null,
  first_slot int not null,
  codes bytea not null,
  primary key (tenant_id, model, first_slot)
);
alter table code_block alter column codes set storage main;
select fleetkit_protect('code_block');

-- The vectors at half precision, of whatever length their model gives.
create table chunk_embedding (
  tenant_id uuid not null,
  slot int not null,
  model text not null,
  input_sha256 bytea not null,
  embedding halfvec not null,
  primary key (tenant_id, slot, model),
  foreign key (tenant_id, slot) references chunk (tenant_id, slot) on delete cascade
);
alter table chunk_embedding alter column embedding set storage plain;
select fleetkit_protect('chunk_embedding');

-- `posting` and `chunk_vector` are the former layout. The version before this one still reads and
-- writes them; this one empties them as it reads each document again, and keeps its vectors.
alter table document no force row level security;
insert into job (job_id, tenant_id, kind, subject_id, run_at)
select gen_random_uuid(), tenant_id, 'ingest', document_id, now()
from document where chunk_count > 0
on conflict do nothing;
alter table document force row level security;
