-- The cost ledger.

-- One row per call to a model, written before the call is made, with the most it can cost. A call
-- whose process died stays 'open' past expire_time and is then closed as 'unconfirmed' at that
-- upper bound.
create table usage_call (
  call_id uuid primary key,
  tenant_id uuid not null,
  -- By the fleet clock; prices are those of this time.
  create_time timestamptz not null,
  -- By the real clock: nobody can still be waiting for the call after it.
  expire_time timestamptz not null,
  finish_time timestamptz,
  status text not null default 'open'
    check (status in ('open', 'settled', 'unconfirmed', 'failed')),
  -- Why it failed, as an error's reason; empty otherwise.
  failure text not null default '',
  service text not null,
  operation text not null,
  provider text not null,
  model text not null,
  purpose text not null,
  message_id uuid,
  conversation_id uuid,
  agent_id uuid,
  visitor_id uuid,
  knowledge_document_id uuid,
  price_book_version text not null,
  -- [{"kind", "units", "price_nanos_per_million", "amount_nanos"}], adding up to reserved_nanos.
  reserved jsonb not null,
  reserved_nanos bigint not null check (reserved_nanos >= 0),
  unique (tenant_id, call_id)
);
create index usage_call_open on usage_call (tenant_id, expire_time) where status = 'open';
create index usage_call_message on usage_call (tenant_id, message_id) where message_id is not null;
select fleetkit_protect('usage_call');

-- What calls cost, append-only: one row per call and kind of unit.
create table usage_entry (
  usage_id uuid primary key,
  tenant_id uuid not null,
  call_id uuid not null,
  create_time timestamptz not null,
  status text not null check (status in ('settled', 'unconfirmed')),
  service text not null,
  provider text not null,
  model text not null,
  kind text not null,
  purpose text not null,
  units bigint not null check (units >= 0),
  price_nanos_per_million bigint not null check (price_nanos_per_million >= 0),
  price_book_version text not null,
  amount_nanos bigint not null check (amount_nanos >= 0),
  -- What caching saved on these units; negative for the premium of a write.
  saved_nanos bigint not null default 0,
  message_id uuid,
  conversation_id uuid,
  agent_id uuid,
  visitor_id uuid,
  knowledge_document_id uuid,
  unique (call_id, kind),
  foreign key (tenant_id, call_id) references usage_call (tenant_id, call_id)
);
create index usage_entry_time on usage_entry (tenant_id, create_time, usage_id);
create index usage_entry_message
  on usage_entry (tenant_id, message_id, create_time, usage_id) where message_id is not null;
create index usage_entry_conversation
  on usage_entry (tenant_id, conversation_id, create_time, usage_id)
  where conversation_id is not null;
select fleetkit_protect('usage_entry');

-- Append-only is a matter of rights, not of manners: only the link to a person may be cut.
do $$
begin
  execute format('revoke update on usage_entry from %I', current_schema());
  execute format('grant update (visitor_id) on usage_entry to %I', current_schema());
end;
$$;
