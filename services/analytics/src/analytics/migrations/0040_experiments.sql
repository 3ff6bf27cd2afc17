-- Which arm of an experiment of retrieval a turn's search took; what became of it is in `turn`, what
-- it cost in `cost_entry`.
create table experiment_turn (
  tenant_id uuid not null,
  message_id uuid not null,
  experiment_id uuid not null,
  conversation_id uuid not null,
  challenger boolean not null,
  primary key (tenant_id, message_id)
);
create index experiment_turn_experiment on experiment_turn (tenant_id, experiment_id);
select fleetkit_protect('experiment_turn');

alter table turn add column citation_count int not null default 0;
