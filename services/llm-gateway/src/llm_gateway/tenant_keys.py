"""Keys of tenants at providers: a tenant's own key takes its calls to that provider.

What they cost is counted and limited as ever, and marked as paid by the tenant.
"""

import re
from collections.abc import Mapping
from uuid import UUID

from fleetkit.clock import Clock
from fleetkit.errors import FailedPrecondition, InvalidArgument
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.postgres import Database, remember_tenant
from fleetkit.postgres.tenants import known_tenants
from fleetkit.vault import Sealed, Vault

from llm_gateway.providers.keyed import KEYED, KeyedProvider, KeyedProviders
from llm_gateway.store import model_settings as store
from llm_gateway.store.model_settings import ProviderKeyRow
from llm_gateway.tenant_settings import TenantSettings

_KEY = re.compile(r"[\x21-\x7e]{8,400}")
_MOST_MADE = 1_000
_SHOWN = 4


class TenantKeys:
    """Sets keys, and has the providers that work by them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        settings: TenantSettings,
        providers: KeyedProviders,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._settings = settings
        self._providers = providers
        self._made: dict[UUID, KeyedProvider] = {}

    async def of(self, tenant_id: UUID) -> Mapping[str, KeyedProvider]:
        """The providers that the tenant has a key of its own for, by name.

        A key that cannot be read any more is told of in the log and left out.
        """
        made: dict[str, KeyedProvider] = {}
        for row in (await self._settings.of(tenant_id)).keys.values():
            if (provider := await self._provider(tenant_id, row)) is not None:
                made[row.provider] = provider
        return made

    async def listed(self, tenant_id: UUID) -> list[ProviderKeyRow]:
        """The tenant's keys, by provider; nothing shows more of one than its last four."""
        async with self._db.tenant(tenant_id) as conn:
            return await store.provider_keys(conn, tenant_id)

    async def set(self, tenant_id: UUID, provider: str, api_key: str) -> ProviderKeyRow:
        """Has the provider try the key, and keeps it in place of the one before.

        InvalidArgument when it is not one or the provider refuses it; Unavailable when the provider
        cannot be asked: then nothing is changed.
        """
        _check_provider(provider)
        if not _KEY.fullmatch(api_key):
            raise InvalidArgument("api_key is 8–400 characters without spaces", field="api_key")
        made = await self._providers.of(provider, api_key)
        await made.check()
        key_id = new_id()
        sealed = self._vault.seal(api_key, tenant_id, key_id)
        row = ProviderKeyRow(
            provider_key_id=key_id,
            provider=provider,
            secrets_key_id=sealed.secrets_key_id,
            sealed=sealed.data,
            last_four=api_key[-_SHOWN:],
            create_time=self._clock.now(),
        )
        async with self._db.tenant(tenant_id) as conn:
            await remember_tenant(conn, tenant_id)
            await store.put_provider_key(conn, tenant_id, row)
        self._settings.forget(tenant_id)
        return row

    async def delete(self, tenant_id: UUID, provider: str) -> None:
        """Forgets the key: the fleet's takes the calls again, where it has one. Idempotent."""
        _check_provider(provider)
        async with self._db.tenant(tenant_id) as conn:
            await store.delete_provider_key(conn, tenant_id, provider)
        self._settings.forget(tenant_id)

    async def reseal(self, tenant_id: UUID) -> int:
        """Seals the tenant's keys with the vault's current key; returns how many were not.

        One that cannot be read is left, and logged.
        """
        resealed = 0
        for row in await self.listed(tenant_id):
            if row.secrets_key_id == self._vault.current_key_id:
                continue
            secret = self._opened(tenant_id, row)
            if secret is None:
                continue
            new = self._vault.seal(secret, tenant_id, row.provider_key_id)
            async with self._db.tenant(tenant_id) as conn:
                await store.reseal_provider_key(
                    conn, tenant_id, row.provider_key_id, new.secrets_key_id, new.data
                )
            resealed += 1
        return resealed

    async def _provider(self, tenant_id: UUID, row: ProviderKeyRow) -> KeyedProvider | None:
        made = self._made.get(row.provider_key_id)
        if made is None:
            secret = self._opened(tenant_id, row)
            if secret is None:
                return None
            made = await self._providers.of(row.provider, secret)
            if len(self._made) >= _MOST_MADE:
                self._made.clear()
            self._made[row.provider_key_id] = made
        return made

    def _opened(self, tenant_id: UUID, row: ProviderKeyRow) -> str | None:
        sealed = Sealed(row.secrets_key_id, row.sealed)
        try:
            return self._vault.open(sealed, tenant_id, row.provider_key_id)
        except FailedPrecondition as error:
            key_id = str(row.provider_key_id)
            get_logger().error("secret_unreadable", provider_key_id=key_id, exc_info=error)
            return None


async def reseal_all(db: Database, keys: TenantKeys) -> int:
    """Seals all tenants' keys with the vault's current key; returns how many were not."""
    resealed = 0
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            resealed += await keys.reseal(tenant_id)
        after = tenants[-1]
    return resealed


def _check_provider(provider: str) -> None:
    if provider not in KEYED:
        raise InvalidArgument(f"provider is one of {', '.join(KEYED)}", field="provider")
