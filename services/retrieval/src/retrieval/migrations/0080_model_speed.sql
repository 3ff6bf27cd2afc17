-- How many microseconds a passage took lately, by "provider/model", whoever asked: what a change of
-- the embedding model may take is told from it. No tenant's.
create table model_speed (
  model text primary key,
  passage_us double precision not null
);
select fleetkit_share('model_speed', 'select, insert, update');
