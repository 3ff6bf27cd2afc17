-- A trial of an agent's draft is a conversation on no version.
alter table conversation alter column agent_version drop not null;
create index conversation_trial on conversation (tenant_id, update_time)
  where agent_version is null;
