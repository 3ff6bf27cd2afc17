"""`python -m fleetkit.postgres`: makes the fleet's database, schemas and roles on a server.

For a cluster, where a Job does it before the services' migrations; idempotent.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import psycopg

from fleetkit.postgres.provision import owner_of, provision, role_url, schema_of


def main() -> None:
    """Reads passwords from files, as Secrets are mounted; exits with 1 and a sentence."""
    parser = argparse.ArgumentParser(prog="python -m fleetkit.postgres")
    parser.add_argument("--server", required=True, help="URL of the server, without a login")
    parser.add_argument(
        "--login", required=True, type=Path, help="folder with username and password of its admin"
    )
    parser.add_argument(
        "--passwords", required=True, type=Path, help="folder with a file for each role"
    )
    parser.add_argument("services", nargs="+")
    arguments = parser.parse_args()
    try:
        asyncio.run(_provision(arguments))
    except (OSError, psycopg.Error) as error:
        sys.exit(f"the database could not be prepared: {error}")


async def _provision(arguments: argparse.Namespace) -> None:
    user, password = (_read(arguments.login / name) for name in ("username", "password"))
    admin_url = role_url(arguments.server, user, password, database="postgres")
    services: list[str] = arguments.services
    roles = [role for service in services for role in (schema_of(service), owner_of(service))]
    passwords = {role: _read(arguments.passwords / role) for role in roles}
    await provision(admin_url, services, passwords=passwords)
    sys.stdout.write(f"schemas and roles of {len(services)} services are there\n")


def _read(path: Path) -> str:
    return path.read_text().strip()


if __name__ == "__main__":
    main()
