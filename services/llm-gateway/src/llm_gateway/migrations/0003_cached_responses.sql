-- Answers that may be given again to the very same question: the one table of llm-gateway that
-- holds text. `cache_key` is a hash of all that the answer was made from.
create table cached_response (
  tenant_id uuid not null,
  cache_key bytea not null,
  create_time timestamptz not null,
  expire_time timestamptz not null,
  agent_id uuid,
  -- Whose question it was first; with it the answer is erased.
  visitor_id uuid,
  conversation_id uuid,
  model text not null,
  answer text not null,
  -- [{"chunk_id", "start", "end", "answer_start", "answer_end"}]
  citations jsonb not null,
  support double precision not null,
  tier smallint not null,
  -- What the call cost, and what it had cost at the baseline model.
  saved_nanos bigint not null,
  baseline_nanos bigint not null,
  primary key (tenant_id, cache_key)
);
create index cached_response_age on cached_response (tenant_id, create_time);
select fleetkit_protect('cached_response');
