-- Which pages of a website are read: those whose path begins with one of `include_paths` (all where
-- there is none) and with none of `exclude_paths`, as an address spells it. The page that it begins
-- with is always read.
alter table site add column include_paths text[] not null default '{}';
alter table site add column exclude_paths text[] not null default '{}';
