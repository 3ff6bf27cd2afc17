"""The protos of llm-gateway from and to what is ours: rows of tables, and calls."""
