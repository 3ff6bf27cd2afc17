-- Each tenant's jobs in order, and from one tenant to the next: runners take turns among tenants.
create index job_turns on job (tenant_id, run_at) where state = 'queued';
