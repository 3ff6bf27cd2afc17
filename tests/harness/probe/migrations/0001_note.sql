create table note (
  note_id uuid primary key,
  tenant_id uuid not null,
  label text not null
);
select fleetkit_protect('note');

-- The labels of what the tenant of the transaction may see; adds a note first where one is given.
create function labels_with(tenant uuid, new_label text) returns setof text language plpgsql as $$
begin
  if new_label <> '' then
    insert into note values (gen_random_uuid(), tenant, new_label);
  end if;
  return query select label from note order by label;
end;
$$;
do $$
begin
  execute format('grant execute on function labels_with to %I', current_schema());
end;
$$;
