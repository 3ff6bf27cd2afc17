create table note (
  note_id uuid primary key,
  tenant_id uuid not null,
  label text not null
);
select fleetkit_protect('note');
