-- Prices that a tenant has agreed on with a provider, in place of the price book's.

-- Append-only but for end_time: a call is priced by the row that holds when it begins. `revision`
-- counts a tenant's rows and stands in the ledger's price_book_version.
create table own_price (
  own_price_id uuid primary key,
  tenant_id uuid not null,
  model text not null,
  revision integer not null check (revision >= 1),
  start_time timestamptz not null,
  end_time timestamptz,
  -- [{"above_prompt_tokens", "prices": {kind: nanos per million}}]
  tiers jsonb not null,
  unique (tenant_id, revision)
);
create unique index own_price_open on own_price (tenant_id, model) where end_time is null;
select fleetkit_protect('own_price');
