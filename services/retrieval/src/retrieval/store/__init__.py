"""All SQL of the service: one function per statement, by the noun it is about."""
