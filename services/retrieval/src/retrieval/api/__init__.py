"""The RPCs of retrieval, a file per service."""
