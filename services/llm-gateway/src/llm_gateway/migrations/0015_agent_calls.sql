-- An agent's latest requests to a model: how soon they follow each other decides what is cached.
create index usage_call_agent
  on usage_call (tenant_id, agent_id, provider, model, create_time)
  where operation = 'answer';
