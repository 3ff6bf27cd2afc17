-- Pairs that somebody looked at and let stand, by what both passages say: they stay so when a
-- document is read again, and until one of the two passages changes.
create table conflict_dismissal (
  tenant_id uuid not null,
  pair_sha256 bytea not null,
  document_id uuid not null,
  other_document_id uuid not null,
  dismiss_time timestamptz not null,
  primary key (tenant_id, pair_sha256),
  foreign key (tenant_id, document_id)
    references document (tenant_id, document_id) on delete cascade,
  foreign key (tenant_id, other_document_id)
    references document (tenant_id, document_id) on delete cascade
);
create index conflict_dismissal_document on conflict_dismissal (tenant_id, document_id);
create index conflict_dismissal_other on conflict_dismissal (tenant_id, other_document_id);
select fleetkit_protect('conflict_dismissal');

-- Null until the document is read again or the pair dismissed.
alter table conflict add column pair_sha256 bytea;
