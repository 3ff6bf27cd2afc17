-- What every answer asks of the database, each a function of its own: called alone, it is a
-- transaction of one round trip.

-- Reserves as before; a call that is there already, because its caller lost the connection before
-- it was told so, is not counted again.
alter function reserve_call(usage_call, double precision) rename to reserve_new_call;
create function reserve_call(new_call usage_call, expires_in_s double precision)
returns uuid language plpgsql as $$
begin
  perform from usage_call c where c.tenant_id = new_call.tenant_id and c.call_id = new_call.call_id;
  if found then
    return null;
  end if;
  return reserve_new_call(new_call, expires_in_s);
end;
$$;

-- Writes a call that cost nothing, because its answer was there.
create function record_hit(hit usage_call, entries jsonb) returns void language plpgsql as $$
begin
  perform from usage_call c where c.tenant_id = hit.tenant_id and c.call_id = hit.call_id;
  if not found then
    perform reserve_new_call(hit, 0);
    perform settle_call(hit.tenant_id, hit.call_id, 'settled', '', entries);
  end if;
end;
$$;

-- The answer to exactly this, unless it is too old; null when there is none.
create function kept_response(tenant uuid, of_key bytea, at timestamptz) returns jsonb
language sql stable as $$
  select jsonb_build_object('model', r.model, 'answer', r.answer, 'citations', r.citations,
      'support', r.support, 'tier', r.tier, 'saved_nanos', r.saved_nanos,
      'baseline_nanos', r.baseline_nanos)
    from cached_response r
    where r.tenant_id = tenant and r.cache_key = of_key and r.expire_time > at;
$$;

-- Keeps an answer in place of an older one, with what its settled call cost, and no more than
-- `most` that are not too old.
create function keep_response(kept cached_response, call uuid, most int) returns void
language plpgsql as $$
begin
  insert into cached_response
    select kept.tenant_id, kept.cache_key, kept.create_time, kept.expire_time, kept.agent_id,
        kept.visitor_id, kept.conversation_id, kept.model, kept.answer, kept.citations,
        kept.support, kept.tier, sum(e.amount_nanos),
        sum(coalesce(e.baseline_nanos, e.amount_nanos + e.saved_nanos))
      from usage_entry e where e.tenant_id = kept.tenant_id and e.call_id = call
      having count(*) > 0
    on conflict (tenant_id, cache_key) do update set create_time = excluded.create_time,
      expire_time = excluded.expire_time, agent_id = excluded.agent_id,
      visitor_id = excluded.visitor_id, conversation_id = excluded.conversation_id,
      model = excluded.model, answer = excluded.answer, citations = excluded.citations,
      support = excluded.support, tier = excluded.tier, saved_nanos = excluded.saved_nanos,
      baseline_nanos = excluded.baseline_nanos;
  delete from cached_response r where r.tenant_id = kept.tenant_id
    and (r.expire_time <= kept.create_time or r.create_time < (
      select c.create_time from cached_response c where c.tenant_id = kept.tenant_id
        order by c.create_time desc offset most - 1 limit 1));
end;
$$;

do $$
declare
  name text;
begin
  foreach name in array array['reserve_call', 'reserve_new_call', 'record_hit', 'kept_response',
      'keep_response'] loop
    execute (select string_agg(format('grant execute on function %s to %I;', p.oid::regprocedure,
        current_schema()), ' ')
      from pg_proc p where p.pronamespace = current_schema()::regnamespace and p.proname = name);
  end loop;
end;
$$;
