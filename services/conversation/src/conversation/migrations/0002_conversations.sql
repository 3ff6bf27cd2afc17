-- Visitors, conversations, their messages, and what listeners of a conversation see.

create table visitor (
  tenant_id uuid not null,
  visitor_id uuid not null,
  agent_id uuid not null,
  external_id text,
  create_time timestamptz not null,
  primary key (tenant_id, visitor_id)
);
create unique index visitor_external_id on visitor (tenant_id, agent_id, external_id)
  where external_id is not null;
select fleetkit_protect('visitor');

-- Every transaction that writes to a conversation locks its row first. last_position is therefore
-- also the order in which turn_events become visible: a reader that has seen n never misses one
-- below it.
create table conversation (
  tenant_id uuid not null,
  conversation_id uuid not null,
  agent_id uuid not null,
  agent_version int not null,
  visitor_id uuid not null,
  status text not null default 'open'
    check (status in ('open', 'waiting', 'taken_over', 'resolved')),
  handoff_reason text not null default 'unspecified',
  last_outcome text not null default 'unspecified',
  message_count int not null default 0,
  title text not null default '',
  last_position bigint not null default 0,
  revision bigint not null default 1,
  create_time timestamptz not null,
  update_time timestamptz not null,
  primary key (tenant_id, conversation_id),
  foreign key (tenant_id, agent_id, agent_version) references agent_version,
  foreign key (tenant_id, visitor_id) references visitor
) with (fillfactor = 70); -- last_position changes often: leave room to update in place
create index conversation_recent on conversation
  (tenant_id, update_time desc, conversation_id desc);
create index conversation_of_visitor on conversation (tenant_id, visitor_id);
select fleetkit_protect('conversation');

-- number orders the messages of a conversation. owner and lease_until are set while a process
-- answers: the lease is in real time, because moving the fleet clock must not end live turns.
create table message (
  tenant_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  number int not null,
  role text not null check (role in ('visitor', 'agent', 'person')),
  status text not null check (status in ('answering', 'completed', 'canceled', 'failed')),
  text text not null default '',
  request_id text,
  question_id uuid,
  author text not null default '',
  outcome text not null default 'unspecified',
  handoff_reason text not null default 'unspecified',
  confidence double precision not null default 0,
  relevance double precision not null default 0,
  tier int not null default 0,
  model text not null default '',
  citations jsonb not null default '[]',
  passages jsonb not null default '[]',
  first_token_ms int not null default 0,
  error_reason text not null default '',
  rating int not null default 0 check (rating between -1 and 1),
  in_memory boolean not null default false,
  owner uuid,
  lease_until timestamptz,
  cancel_requested boolean not null default false,
  create_time timestamptz not null,
  complete_time timestamptz,
  primary key (tenant_id, message_id),
  unique (tenant_id, conversation_id, number),
  foreign key (tenant_id, conversation_id) references conversation,
  check ((status = 'answering') = (owner is not null and lease_until is not null))
);
create unique index message_request on message (tenant_id, conversation_id, role, request_id)
  where request_id is not null;
create unique index message_one_turn_in_flight on message (tenant_id, conversation_id)
  where status = 'answering';
create index message_answering on message (tenant_id, lease_until) where status = 'answering';
select fleetkit_protect('message');

-- `event` is a fleetdesk.conversation.v1.TurnEvent without its position.
create table turn_events (
  tenant_id uuid not null,
  conversation_id uuid not null,
  position bigint not null,
  message_id uuid not null,
  sequence int not null check (sequence > 0),
  event bytea not null,
  create_time timestamptz not null,
  primary key (tenant_id, conversation_id, position),
  unique (tenant_id, message_id, sequence),
  foreign key (tenant_id, conversation_id) references conversation
);
create index turn_events_create_time on turn_events (tenant_id, create_time);
select fleetkit_protect('turn_events');
