-- Since when a conversation has its status (null: it never changed, or changed before this was
-- noted), and who has taken it over.
alter table conversation
  add column status_time timestamptz,
  add column taken_over_by text not null default '';
