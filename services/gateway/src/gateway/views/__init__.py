"""What the pages show: frozen dataclasses made from answers of the services, by pure functions."""
