-- Plans are made for a tenant of a thousand rows, however many most tenants have: where nearly all
-- have one document, "the documents of this tenant" looks as good as a key, and a search of the one
-- that has 100,000 passages read them all to find eighty.
do $$
declare
  name text;
begin
  foreach name in array array[
    'source', 'document', 'page', 'chunk', 'chunk_embedding', 'chunk_tokens', 'posting_block'
  ] loop
    execute format('alter table %I alter column tenant_id set (n_distinct = -0.001)', name);
  end loop;
end $$;

-- From here on it counts.
analyze source, document, page, chunk, chunk_embedding, chunk_tokens, posting_block;
