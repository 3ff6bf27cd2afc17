"""gRPC inside the fleet: keys and tokens, the server, the clients, retries."""
