-- The rules that tell conflicts have changed: what was read is compared again.
alter table document no force row level security;
insert into job (job_id, tenant_id, kind, subject_id, run_at)
select gen_random_uuid(), tenant_id, 'compare', document_id, now()
from document where chunk_count > 0
on conflict do nothing;
alter table document force row level security;
