"""The RPCs of llm-gateway, a file per service."""
