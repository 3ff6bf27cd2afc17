"""Worker processes for local models, and the queue in front of them."""
