-- People who were asked to join a tenant, until they do.
create table invitation (
  invitation_id uuid primary key,
  tenant_id uuid not null references tenant,
  email text not null,
  role text not null check (role in ('owner', 'admin', 'agent', 'viewer')),
  token_sha256 bytea not null,
  -- The user or API key that invited.
  inviter text not null,
  -- Whether the link went to the mailbox alone: then whoever opens it has proven the e-mail.
  mailed boolean not null default false,
  create_time timestamptz not null,
  expire_time timestamptz not null
);
create unique index invitation_email on invitation (tenant_id, email);
select fleetkit_protect('invitation');

-- Sessions are tidied away; when somebody was last seen stays.
alter table user_account add column last_seen_time timestamptz;

alter table credential_index drop constraint credential_index_kind_check;
alter table credential_index add constraint credential_index_kind_check
  check (kind in ('email', 'session', 'api_key', 'agent', 'erasure', 'invitation'));
