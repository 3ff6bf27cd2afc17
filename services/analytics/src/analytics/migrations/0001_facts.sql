-- Facts as events told them, and one read model derived from them.
--
-- An event that comes twice finds its row; one that comes late brings a lower revision: neither
-- changes anything. Ids and figures only, never a text.

-- A call of a model, and how far its entries are known.
create table cost_call (
  tenant_id uuid not null,
  call_id uuid not null,
  revision bigint not null,
  primary key (tenant_id, call_id)
);
select fleetkit_protect('cost_call');

-- The rows of llm-gateway's ledger, each call's at its latest revision.
create table cost_entry (
  tenant_id uuid not null,
  usage_id uuid not null,
  call_id uuid not null,
  create_time timestamptz not null,
  status text not null,
  service text not null,
  -- "provider/model"
  model text not null,
  kind text not null,
  purpose text not null,
  units bigint not null,
  amount_nanos bigint not null,
  saved_nanos bigint not null,
  message_id uuid,
  conversation_id uuid,
  agent_id uuid,
  visitor_id uuid,
  primary key (tenant_id, usage_id),
  foreign key (tenant_id, call_id) references cost_call
);
create index cost_entry_time on cost_entry (tenant_id, create_time);
create index cost_entry_call on cost_entry (tenant_id, call_id);
create index cost_entry_conversation on cost_entry (tenant_id, conversation_id)
  where conversation_id is not null;
select fleetkit_protect('cost_entry');

-- A turn of an agent that ended. Latencies are kept as they are, so that percentiles are exact.
create table turn (
  tenant_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  agent_id uuid not null,
  agent_version int not null,
  visitor_id uuid not null,
  revision bigint not null,
  occur_time timestamptz not null,
  status text not null,
  outcome text not null,
  handoff_reason text not null,
  confidence_millis int not null,
  relevance_millis int not null,
  tier int not null,
  first_token_ms int not null,
  duration_ms int not null,
  primary key (tenant_id, message_id)
);
create index turn_time on turn (tenant_id, occur_time);
create index turn_conversation on turn (tenant_id, conversation_id);
select fleetkit_protect('turn');

-- What else happened in a conversation. `detail` is the author's role of a message, the reason of
-- a hand-off, the new status of a change.
create table conversation_event (
  tenant_id uuid not null,
  event_id uuid not null,
  conversation_id uuid not null,
  kind text not null check (kind in ('started', 'message', 'handoff', 'status')),
  detail text not null default '',
  revision bigint not null,
  occur_time timestamptz not null,
  agent_id uuid,
  visitor_id uuid,
  primary key (tenant_id, event_id)
);
create index conversation_event_conversation on conversation_event (tenant_id, conversation_id);
select fleetkit_protect('conversation_event');

-- What the facts say of a conversation by now. Derived, in the transaction of each fact; `run
-- rebuild` derives it again. `outcome` is '' until the visitor has written.
create table conversation (
  tenant_id uuid not null,
  conversation_id uuid not null,
  agent_id uuid,
  visitor_id uuid,
  -- The visitor's first message.
  start_time timestamptz,
  outcome text not null default ''
    check (outcome in ('', 'handed_over', 'answered_alone', 'clarify', 'unanswered')),
  -- Of the first hand-off; 'unspecified' where a person took over without being asked for.
  handoff_reason text not null default '',
  status text not null default '',
  amount_nanos bigint not null default 0,
  primary key (tenant_id, conversation_id)
) with (fillfactor = 80);
create index conversation_start on conversation (tenant_id, start_time) where outcome <> '';
select fleetkit_protect('conversation');
