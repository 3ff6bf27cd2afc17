"""Secrets at rest."""

import base64
from typing import Any
from uuid import uuid4

import pytest
from fleetkit.errors import FailedPrecondition
from fleetkit.rpc.keys import KeyRing
from fleetkit.vault import Sealed, Vault
from pydantic import SecretStr


def vault(secrets_key: str | None, keyring: Any = None) -> Vault:
    return Vault.of(SecretStr(secrets_key) if secrets_key else None, keyring)


def key(key_id: str, byte: bytes) -> str:
    return f"{key_id}:{base64.b64encode(byte * 32).decode()}"


class TestVault:
    def test_it_opens_what_it_sealed(self):
        tenant, agent = uuid4(), uuid4()
        sealed = vault(key("k1", b"a")).seal("secret", tenant, agent)
        assert b"secret" not in sealed.data
        assert vault(key("k1", b"a")).open(sealed, tenant, agent) == "secret"

    def test_the_same_secret_is_sealed_differently_each_time(self):
        one = vault(key("k1", b"a"))
        tenant, agent = uuid4(), uuid4()
        assert one.seal("secret", tenant, agent) != one.seal("secret", tenant, agent)

    def test_it_opens_nothing_moved_changed_or_of_another_key(self):
        tenant, agent = uuid4(), uuid4()
        one = vault(key("k1", b"a"))
        sealed = one.seal("secret", tenant, agent)
        changed = Sealed("k1", sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
        for strange, its_tenant, its_agent in (
            (sealed, uuid4(), agent),
            (sealed, tenant, uuid4()),
            (changed, tenant, agent),
            (Sealed("k2", sealed.data), tenant, agent),
            (Sealed("k1", b""), tenant, agent),
        ):
            with pytest.raises(FailedPrecondition):
                one.open(strange, its_tenant, its_agent)
        with pytest.raises(FailedPrecondition):
            vault(key("k1", b"b")).open(sealed, tenant, agent)

    def test_the_first_key_seals_and_all_open(self):
        tenant, agent = uuid4(), uuid4()
        old = vault(key("k1", b"a")).seal("secret", tenant, agent)
        both = vault(f"{key('k2', b'b')}, {key('k1', b'a')}")
        assert both.open(old, tenant, agent) == "secret"
        assert both.seal("secret", tenant, agent).secrets_key_id == "k2"

    @pytest.mark.parametrize("setting", ["k1", "k1:", ":AAAA", "k1:????", "k1:AAAA"])
    def test_a_malformed_setting_is_refused(self, setting):
        with pytest.raises(ValueError, match="FLEETDESK_SECRETS_KEY"):
            vault(setting)

    def test_locally_the_services_own_key_is_enough(self, keys_dir):
        tenant, agent = uuid4(), uuid4()
        gateway = KeyRing.load(keys_dir, "gateway")
        sealed = vault(None, gateway).seal("secret", tenant, agent)
        assert vault(None, gateway).open(sealed, tenant, agent) == "secret"
        with pytest.raises(FailedPrecondition):
            vault(None, KeyRing.load(keys_dir, "memory")).open(sealed, tenant, agent)
