-- Records that memory has taken messages, in one round trip and a transaction of its own.
create function taken_by_memory(tenant uuid, taken uuid[]) returns void language plpgsql as $$
begin
  update message m set in_memory = true where m.tenant_id = tenant and m.message_id = any(taken);
end;
$$;
do $$
begin
  execute format('grant execute on function taken_by_memory(uuid, uuid[]) to %I', current_schema());
end;
$$;
