-- Which attempt of an answer's ladder of models a call was, from 1 (0: none), and why it was made
-- when it was not the first model's.

alter table usage_call
  add column tier smallint not null default 0,
  add column tier_reason text not null default '';
alter table usage_entry
  add column tier smallint not null default 0,
  add column tier_reason text not null default '';
