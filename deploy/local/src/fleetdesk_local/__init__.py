"""The fleet on one machine: PostgreSQL, NATS, the services, and a demo tenant."""
