-- Places of the allowance held for answers that are being written, so that conversations which get
-- their first answer at the same moment don't pass the limit together. A row goes in the
-- transaction that counts its answer, or learns that there is none; else at `expire_time`.
create table reservation (
  tenant_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  expire_time timestamptz not null,
  primary key (tenant_id, message_id)
);
create index reservation_conversation on reservation (tenant_id, conversation_id);
select fleetkit_protect('reservation');
