"""Secrets of tenants at rest: AES-GCM, with the id of the key beside the ciphertext."""

import base64
import binascii
import secrets
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from fleetkit.errors import FailedPrecondition
from fleetkit.rpc.keys import KeyRing

_KEY_BYTES = 32
_NONCE_BYTES = 12
_LOCAL_KEY_ID = "local"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A nonce and ciphertext, and which key sealed it."""

    secrets_key_id: str
    data: bytes


class Vault:
    """Seals and opens secrets. The first key seals; all open."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self.current_key_id = next(iter(keys))
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @classmethod
    def of(cls, secrets_key: SecretStr | None, keyring: KeyRing) -> "Vault":
        """With the setting `secrets_key`; without it with one derived from the service's own key.

        It is "<key id>:<32 bytes in base64>", several separated by commas. ValueError when it is
        malformed.
        """
        if secrets_key is None:
            return cls({_LOCAL_KEY_ID: _derived(keyring)})
        return cls(_parsed(secrets_key.get_secret_value()))

    def seal(self, secret: str, tenant_id: UUID, subject_id: UUID) -> Sealed:
        """Encrypts a secret, bound to its tenant and what it belongs to."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound_to = tenant_id.bytes + subject_id.bytes
        cipher = self._ciphers[self.current_key_id]
        return Sealed(self.current_key_id, nonce + cipher.encrypt(nonce, secret.encode(), bound_to))

    def open(self, sealed: Sealed, tenant_id: UUID, subject_id: UUID) -> str:
        """The secret; FailedPrecondition when its key is not configured, or it was moved."""
        cipher = self._ciphers.get(sealed.secrets_key_id)
        if cipher is None or len(sealed.data) < _NONCE_BYTES:
            raise _closed()
        nonce, ciphertext = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, tenant_id.bytes + subject_id.bytes).decode()
        except InvalidTag as error:
            raise _closed() from error


def _closed() -> FailedPrecondition:
    return FailedPrecondition(
        "this secret can't be read any more: make a new one", reason="SECRET_UNREADABLE"
    )


def _derived(keyring: KeyRing) -> bytes:
    raw = keyring.private.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    kdf = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"fleetdesk secrets at rest")
    return kdf.derive(raw)


def _parsed(setting: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for entry in setting.split(","):
        key_id, separator, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(f"FLEETDESK_SECRETS_KEY: {key_id!r} is not base64") from error
        if not separator or not key_id or len(key) != _KEY_BYTES:
            raise ValueError(
                f"FLEETDESK_SECRETS_KEY: write <key id>:<{_KEY_BYTES} bytes in base64>"
            )
        keys[key_id] = key
    return keys
