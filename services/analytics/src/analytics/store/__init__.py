"""SQL of analytics."""
