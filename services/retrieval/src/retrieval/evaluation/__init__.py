"""How well a tenant's own questions find the documents that answer them."""
