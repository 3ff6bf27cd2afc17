-- When a sitemap says that a page last changed, as it stands there: in the present or last run, and
-- when the page was last visited.
alter table page add column listed_change text not null default '';
alter table page add column read_change text not null default '';
