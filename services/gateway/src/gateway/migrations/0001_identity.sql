-- Tenants, their people and keys, and what the gateway must remember of a request.

create table tenant (
  tenant_id uuid primary key,
  company text not null,
  plan_id text not null,
  agent_id uuid not null,
  revision bigint not null,
  create_time timestamptz not null
);
select fleetkit_protect('tenant');

create table user_account (
  user_id uuid primary key,
  tenant_id uuid not null references tenant,
  email text not null,
  password_hash text not null,
  role text not null check (role in ('owner', 'admin', 'agent', 'viewer')),
  verify_time timestamptz,
  create_time timestamptz not null,
  unique (tenant_id, user_id)
);
create unique index user_account_email on user_account (tenant_id, email);
select fleetkit_protect('user_account');

-- Times are real time: a sign-in must not last longer because a clock was moved.
create table session (
  session_id uuid primary key,
  tenant_id uuid not null references tenant,
  user_id uuid not null,
  token_sha256 bytea not null,
  create_time timestamptz not null default now(),
  last_used_time timestamptz not null default now(),
  expire_time timestamptz not null,
  foreign key (tenant_id, user_id) references user_account (tenant_id, user_id) on delete cascade
);
create index session_by_user on session (tenant_id, user_id);
create index session_by_expiry on session (tenant_id, expire_time);
select fleetkit_protect('session');

create table api_key (
  key_id uuid primary key,
  tenant_id uuid not null references tenant,
  name text not null,
  prefix text not null,
  key_sha256 bytea not null,
  role text not null check (role in ('admin', 'agent', 'viewer')),
  scopes text[] not null,
  creator text not null,
  create_time timestamptz not null,
  expire_time timestamptz,
  last_used_time timestamptz,
  revoke_time timestamptz
);
create index api_key_tenant on api_key (tenant_id, create_time);
select fleetkit_protect('api_key');

-- Which tenant a credential belongs to, before there is a tenant: hash of an e-mail, a session
-- token, an API key or an agent's id. Nothing else is kept here.
create table credential_index (
  kind text not null check (kind in ('email', 'session', 'api_key', 'agent')),
  sha256 bytea not null,
  tenant_id uuid not null,
  subject_id uuid not null,
  primary key (kind, sha256)
);
select fleetkit_share('credential_index', 'select, insert, delete');

create table widget (
  agent_id uuid primary key,
  tenant_id uuid not null references tenant,
  allowed_origins text[] not null default '{}',
  -- AES-GCM, bound to tenant and agent; null until one was asked for.
  identity_secret bytea,
  secrets_key_id text,
  update_time timestamptz not null
);
create index widget_tenant on widget (tenant_id);
select fleetkit_protect('widget');

create table audit_log (
  audit_id uuid primary key,
  tenant_id uuid not null,
  occur_time timestamptz not null,
  actor_kind text not null,
  actor text not null,
  action text not null,
  target text not null,
  details jsonb not null default '{}',
  client_ip text not null
);
create index audit_log_page on audit_log (tenant_id, audit_id desc);
select fleetkit_protect('audit_log');

-- Which request an Idempotency-Key stood for. lease_until is set while it is being answered.
create table idempotency_key (
  tenant_id uuid not null,
  subject text not null,
  operation text not null,
  key_sha256 bytea not null,
  body_sha256 bytea not null,
  request_id uuid not null,
  create_time timestamptz not null default now(),
  lease_until timestamptz,
  primary key (tenant_id, subject, operation, key_sha256)
);
create index idempotency_key_age on idempotency_key (tenant_id, create_time);
select fleetkit_protect('idempotency_key');
