"""PostgreSQL: transactions bound to one tenant, migrations, roles."""

from fleetkit.postgres.database import Database, FleetConnection
from fleetkit.postgres.tenants import known_tenants, remember_tenant

__all__ = ["Database", "FleetConnection", "known_tenants", "remember_tenant"]
