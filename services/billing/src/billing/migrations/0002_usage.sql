-- What tenants used.

-- The ledger: an answered message each, by the event that told of it. Append-only; ids of
-- conversations, none of persons.
create table usage_ledger (
  tenant_id uuid not null,
  event_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  occur_time timestamptz not null,
  create_time timestamptz not null default now(),
  primary key (tenant_id, event_id),
  -- A message is answered once, whatever events tell of it.
  unique (tenant_id, message_id)
);
create index usage_ledger_conversation on usage_ledger (tenant_id, conversation_id);
select fleetkit_protect('usage_ledger');
do $$
begin
  execute format('revoke update, delete on usage_ledger from %I', current_schema());
end;
$$;

-- The conversations that count, each once, at its first answer. Derived from the ledger in the
-- transaction of each row; `run rebuild-usage` derives it again. A period's count is the rows whose
-- first answer is in it, so a period may be moved without counting anew.
create table counted_conversation (
  tenant_id uuid not null,
  conversation_id uuid not null,
  first_event_id uuid not null,
  first_occur_time timestamptz not null,
  primary key (tenant_id, conversation_id)
);
create index counted_conversation_time on counted_conversation (tenant_id, first_occur_time);
select fleetkit_protect('counted_conversation');
