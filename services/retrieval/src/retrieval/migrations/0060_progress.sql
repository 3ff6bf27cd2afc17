-- Of a document whose state is "embedding": its passages, and how many of them have their vector.
alter table document add column embedding_count int not null default 0;
alter table document add column embedded_count int not null default 0;
