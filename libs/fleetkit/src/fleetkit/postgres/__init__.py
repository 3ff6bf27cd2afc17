"""PostgreSQL: transactions bound to one tenant, migrations, roles."""

from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database
from fleetkit.postgres.tenants import known_tenants, remember_tenant

__all__ = ["Database", "FleetConnection", "known_tenants", "remember_tenant"]
