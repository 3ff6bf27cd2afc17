-- The language that a document's words were read in, "" for one without a stemmer; English is what
-- all were read in before. `index_stat.languages` are those of the tenant's documents.
alter table document add column language text not null default 'en';
create index document_language on document (tenant_id, language) where chunk_count > 0;
alter table index_stat add column languages text[] not null default '{en}';

-- Each document is read again in its own language; its vectors are kept.
alter table document no force row level security;
insert into job (job_id, tenant_id, kind, subject_id, run_at)
select gen_random_uuid(), tenant_id, 'ingest', document_id, now()
from document where chunk_count > 0
on conflict do nothing;
alter table document force row level security;
