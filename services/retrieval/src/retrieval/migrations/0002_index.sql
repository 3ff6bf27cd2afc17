-- Passages. `chunk_no` is the short key that postings and vectors carry; `length` is the sum of the
-- weights of its postings.
create table chunk (
  tenant_id uuid not null,
  chunk_no bigint generated always as identity primary key,
  chunk_id uuid not null unique,
  document_id uuid not null,
  ordinal int not null,
  heading_path text[] not null,
  span_start int not null,
  span_end int not null,
  token_count int not null,
  length real not null,
  text text not null,
  unique (tenant_id, chunk_no),
  foreign key (tenant_id, document_id) references document (tenant_id, document_id) on delete cascade
);
create index chunk_document on chunk (tenant_id, document_id, ordinal);
select fleetkit_protect('chunk');

-- Apart from the text, and plain: an exact scan then reads five vectors a page and nothing else.
-- There is deliberately no approximate index: filtered by tenant it returned too few neighbours.
create table chunk_vector (
  tenant_id uuid not null,
  chunk_no bigint primary key,
  document_id uuid not null,
  model text not null,
  input_sha256 bytea not null,
  embedding vector(384) not null,
  foreign key (tenant_id, chunk_no) references chunk (tenant_id, chunk_no) on delete cascade
);
alter table chunk_vector alter column embedding set storage plain;
create index chunk_vector_tenant on chunk_vector (tenant_id);
create index chunk_vector_document on chunk_vector (tenant_id, document_id);
select fleetkit_protect('chunk_vector');

-- The inverted index of BM25: `weight` is the term's weighted frequency in the chunk, `length` the
-- chunk's, repeated here so that scoring reads nothing but this index.
create table posting (
  tenant_id uuid not null,
  term text collate "C" not null,
  chunk_no bigint not null,
  weight real not null,
  length real not null,
  foreign key (tenant_id, chunk_no) references chunk (tenant_id, chunk_no) on delete cascade
);
create unique index posting_term on posting (tenant_id, term, chunk_no) include (weight, length);
create index posting_chunk on posting (chunk_no);
select fleetkit_protect('posting');

-- One row a tenant; locked by whoever changes the index, so that the counts are exact.
create table index_stat (
  tenant_id uuid primary key,
  knowledge_version bigint not null,
  chunk_count int not null,
  length_sum double precision not null
);
select fleetkit_protect('index_stat');
