-- What an answer cost, for the tiers.
create index cost_entry_message on cost_entry (tenant_id, message_id)
  where message_id is not null;
