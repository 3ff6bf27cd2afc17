-- The token vectors of passages, as llm-gateway's Embed returned them and its Rerank reads them;
-- not every embedding model has some.
create table chunk_tokens (
  tenant_id uuid not null,
  chunk_no bigint primary key,
  document_id uuid not null,
  model text not null,
  input_sha256 bytea not null,
  token_vectors bytea not null,
  foreign key (tenant_id, chunk_no) references chunk (tenant_id, chunk_no) on delete cascade
);
-- Quantised: nothing is left to compress.
alter table chunk_tokens alter column token_vectors set storage external;
create index chunk_tokens_document on chunk_tokens (tenant_id, document_id);
select fleetkit_protect('chunk_tokens');
