"""The one way in which the fleet asks for what a tenant or visitor names by URL.

Imported only by the services that fetch; they depend on `aiohttp`.
"""

from fleetkit.fetch.addresses import AddressPolicy
from fleetkit.fetch.client import Fetched, Fetcher, FetchLimits
from fleetkit.fetch.errors import FetchError
from fleetkit.fetch.urls import checked_url

__all__ = ["AddressPolicy", "FetchError", "FetchLimits", "Fetched", "Fetcher", "checked_url"]
