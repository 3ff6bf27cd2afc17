-- The model whose vectors searches read, as "provider/model@version"; "" before the first passage.
-- Vectors, codes and token vectors of another one may lie beside it while they are made.
alter table index_stat add column model text not null default '';
alter table chunk_tokens drop constraint chunk_tokens_pkey, add primary key (chunk_no, model);

-- The model that a tenant chose ("" for the deployment's), and the one whose vectors are being made
-- ("" while none are, or before its first answer told its version).
create table embedding_setting (
  tenant_id uuid primary key,
  embed_model text not null default '',
  target_model text not null default '',
  begin_time timestamptz,
  error_reason text not null default ''
);
select fleetkit_protect('embedding_setting');

-- Passages of other models than most of the tenant's, and those without token vectors, get them.
alter table index_stat no force row level security;
alter table chunk no force row level security;
alter table chunk_embedding no force row level security;
alter table chunk_tokens no force row level security;
update index_stat s set model = coalesce((select e.model from chunk_embedding e
  where e.tenant_id = s.tenant_id group by e.model order by count(*) desc, e.model limit 1), '');
insert into known_tenants (tenant_id) select tenant_id from index_stat on conflict do nothing;
insert into job (job_id, tenant_id, kind, subject_id, run_at)
select gen_random_uuid(), s.tenant_id, 'reembed', s.tenant_id, now() from index_stat s
where exists (select from chunk c where c.tenant_id = s.tenant_id
  and not exists (select from chunk_tokens t where t.chunk_no = c.chunk_no and t.model = s.model))
on conflict do nothing;
alter table index_stat force row level security;
alter table chunk force row level security;
alter table chunk_embedding force row level security;
alter table chunk_tokens force row level security;
