-- The messages of a conversation, as conversation pushed them.
create table turn (
  tenant_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  visitor_id uuid,
  author text not null check (author in ('visitor', 'agent', 'person')),
  text text not null,
  token_count int not null,
  create_time timestamptz not null,
  -- With the tenant: an id made up by another must not stand in the way.
  primary key (tenant_id, message_id)
);
create index turn_conversation on turn (tenant_id, conversation_id, create_time desc, message_id desc);
select fleetkit_protect('turn');

-- Conversations whose window was cleared: what was written before stays forgotten, also when it
-- arrives late.
create table cleared_conversation (
  tenant_id uuid not null,
  conversation_id uuid not null,
  clear_time timestamptz not null,
  primary key (tenant_id, conversation_id)
);
select fleetkit_protect('cleared_conversation');
