-- What a conversation cost in all, and from when to when, so that costs by conversation are read
-- from a row of each and not from its dozen of entries. Derived as the other columns are: a row that
-- a replica of the version before writes meanwhile is right from its next fact on, or `run rebuild`.
alter table conversation
  add column saved_nanos bigint not null default 0,
  add column unconfirmed_nanos bigint not null default 0,
  add column direct_nanos bigint not null default 0,
  add column first_cost_time timestamptz,
  add column last_cost_time timestamptz;

do $$
declare
  tenant uuid;
begin
  for tenant in select tenant_id from known_tenants loop
    perform set_config('fleetdesk.tenant_id', tenant::text, true);
    update conversation k set
      saved_nanos = e.saved_nanos, unconfirmed_nanos = e.unconfirmed_nanos,
      direct_nanos = e.direct_nanos, first_cost_time = e.first_cost_time,
      last_cost_time = e.last_cost_time
    from (
      select conversation_id, sum(saved_nanos)::bigint as saved_nanos,
        coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint
          as unconfirmed_nanos,
        coalesce(sum(amount_nanos) filter (where paid_by = 'tenant'), 0)::bigint as direct_nanos,
        min(create_time) as first_cost_time, max(create_time) as last_cost_time
      from cost_entry where tenant_id = tenant and conversation_id is not null group by 1) e
    where k.tenant_id = tenant and k.conversation_id = e.conversation_id;
  end loop;
end;
$$;

create index conversation_cost on conversation (tenant_id, last_cost_time)
  where last_cost_time is not null;
-- What serves no conversation.
create index cost_entry_unattributed on cost_entry (tenant_id, create_time)
  where conversation_id is null;
