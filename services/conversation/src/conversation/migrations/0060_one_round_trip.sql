-- Adds an event to an answer that `writer` is writing, in one round trip and a transaction of its own.
--
-- Returns its position, or null when the answer was closed by somebody else. An event that is there
-- already, because its writer lost the connection before it was told so, is not added again.
create function append_to_answer(
  tenant uuid, of_conversation uuid, of_message uuid, writer uuid, number int, added bytea,
  at_time timestamptz
) returns bigint language plpgsql as $$
declare
  placed bigint;
begin
  -- First, as every writer of a conversation does: who closed the answer before is then seen.
  perform from conversation c where c.tenant_id = tenant and c.conversation_id = of_conversation
    for no key update;
  perform from message m where m.tenant_id = tenant and m.message_id = of_message
    and m.owner = writer and m.status = 'answering';
  if not found then
    return null;
  end if;
  select e.position into placed from turn_events e
    where e.tenant_id = tenant and e.message_id = of_message and e.sequence = number;
  if found then
    return placed;
  end if;
  update conversation c set last_position = c.last_position + 1
    where c.tenant_id = tenant and c.conversation_id = of_conversation
    returning c.last_position into placed;
  insert into turn_events (tenant_id, conversation_id, position, message_id, sequence, event,
      create_time)
    values (tenant, of_conversation, placed, of_message, number, added, at_time);
  perform pg_notify('conversation_changed', of_conversation::text || ':' || placed::text);
  return placed;
end;
$$;
do $$
begin
  execute format('grant execute on function
    append_to_answer(uuid, uuid, uuid, uuid, int, bytea, timestamptz) to %I', current_schema());
end;
$$;
