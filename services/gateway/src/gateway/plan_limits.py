"""How many API-key calls an hour a tenant's plan allows."""

from uuid import UUID

from cachetools import TTLCache
from fleetdesk.billing.v1.billing_service_pb2 import GetSubscriptionRequest
from fleetkit.errors import DeadlineExceeded, NotFound, Unavailable
from fleetkit.rpc.identity import acting_as
from fleetkit.rpc.keys import KeyRing

from gateway.auth.principal import Principal
from gateway.clients import Clients
from gateway.rate_limits import Limit

_FRESH_S = 60.0
_KEPT_S = 3600.0
_MAX_TENANTS = 10_000
_HOUR_S = 3600
_CALL_S = 2.0
# When billing can't be asked and never could: the middle plan's, so that an outage of billing
# neither stops a customer nor opens the door.
_UNKNOWN = 500


class PlanLimits:
    """The limit of each tenant, asked of billing at most once a minute."""

    def __init__(self, clients: Clients, keyring: KeyRing) -> None:
        self._clients = clients
        self._keyring = keyring
        self._fresh: TTLCache[UUID, int] = TTLCache(_MAX_TENANTS, _FRESH_S)
        self._last: TTLCache[UUID, int] = TTLCache(_MAX_TENANTS, _KEPT_S)

    async def limit_of(self, principal: Principal) -> Limit | None:
        """The limit of the principal's tenant, all of its keys together; None for unlimited."""
        calls = self._fresh.get(principal.tenant_id)
        if calls is None:
            with acting_as(self._keyring, principal.identity, _CALL_S):
                calls = await self._ask(principal.tenant_id)
        return Limit("api-calls", calls, _HOUR_S) if calls >= 0 else None

    async def _ask(self, tenant_id: UUID) -> int:
        try:
            found = await self._clients.billing.GetSubscription(GetSubscriptionRequest())
        except (Unavailable, DeadlineExceeded, NotFound):
            calls = self._last.get(tenant_id, _UNKNOWN)
        else:
            calls = found.plan.api_calls_per_hour
            self._last[tenant_id] = calls
        self._fresh[tenant_id] = calls
        return calls
