-- Times in which a tenant's prompt cache hit rate was below the goal; open while `end_time` is null.
create table caching_alert (
  tenant_id uuid not null,
  alert_id uuid not null,
  begin_time timestamptz not null,
  end_time timestamptz,
  -- When it began.
  hit_rate_millis int not null,
  primary key (tenant_id, alert_id)
);
create unique index caching_alert_open on caching_alert (tenant_id) where end_time is null;
select fleetkit_protect('caching_alert');
