-- By whose key a call went; null is "fleet", in what was noted before.
alter table cost_entry add column paid_by text;
-- Of the sum, what keys of the tenant's own paid for. Hours from before have none.
alter table cost_hour add column direct_nanos bigint not null default 0;
