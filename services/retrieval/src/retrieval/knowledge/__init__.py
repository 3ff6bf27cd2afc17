"""What a tenant gives as knowledge: sources, documents, ingest."""
