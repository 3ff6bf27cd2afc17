-- What a shared screen says, as vision-agent read it last: one row for each conversation.
create table observation (
  tenant_id uuid not null,
  conversation_id uuid not null,
  frame_id uuid not null,
  text text not null,
  capture_time timestamptz not null,
  create_time timestamptz not null,
  primary key (tenant_id, conversation_id),
  foreign key (tenant_id, conversation_id) references conversation on delete cascade
);
create index observation_create_time on observation (tenant_id, create_time);
select fleetkit_protect('observation');
