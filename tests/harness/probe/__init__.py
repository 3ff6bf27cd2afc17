"""A service's package without a service: a schema for the tests of fleetkit."""
