"""A package, so that `running_fleet` ends with it and not with the whole run."""
