-- Adds messages of a conversation but those that are there, or were written before its window was
-- cleared; returns the ids of those that were added. In one round trip and a transaction of its own.
create function record_turns(tenant uuid, of_conversation uuid, said jsonb) returns setof uuid
language plpgsql as $$
begin
  -- As every writer of a window: a message on its way in must not survive a clearing that it did
  -- not see.
  perform pg_advisory_xact_lock(
    hashtextextended(tenant::text || '/' || of_conversation::text, 0));
  return query
    insert into turn (tenant_id, message_id, conversation_id, visitor_id, author, text,
        token_count, create_time)
      select tenant, new.message_id, of_conversation, new.visitor_id, new.author, new.text,
          new.token_count, new.create_time
        from jsonb_populate_recordset(null::turn, said) new
        where not exists (select from cleared_conversation c where c.tenant_id = tenant
          and c.conversation_id = of_conversation and c.clear_time >= new.create_time)
      on conflict do nothing
      returning turn.message_id;
end;
$$;
do $$
begin
  execute format('grant execute on function record_turns(uuid, uuid, jsonb) to %I',
    current_schema());
end;
$$;
