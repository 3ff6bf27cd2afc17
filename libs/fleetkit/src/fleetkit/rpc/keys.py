"""Ed25519 keys: each process holds its own private key and everybody's public keys."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class KeyRing:
    """The keys of one process: `service`, its private key, the public key of every service."""

    def __init__(
        self, service: str, private: Ed25519PrivateKey, public: Mapping[str, Ed25519PublicKey]
    ) -> None:
        self.service = service
        self.private = private
        self.public = dict(public)

    @classmethod
    def load(cls, keys_dir: Path, service: str) -> Self:
        """Reads `<service>.key` and all `*.pub` (PEM) of `keys_dir`.

        ValueError when the private key is missing, readable by everybody, or not Ed25519.
        """
        own = keys_dir / f"{service}.key"
        if not own.is_file():
            raise ValueError(f"{own} is missing: generate the fleet's keys first")
        if own.stat().st_mode & 0o007:
            raise ValueError(f"{own} is readable by everybody: chmod 600 it")
        private = serialization.load_pem_private_key(own.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{own} is not an Ed25519 key")
        return cls(service, private, {p.stem: _read_public(p) for p in keys_dir.glob("*.pub")})


def generate_keys(keys_dir: Path, services: Iterable[str]) -> None:
    """Makes the missing key pairs: `<service>.key` (0600) and `<service>.pub`; keeps existing."""
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for service in services:
        path = keys_dir / f"{service}.key"
        if not path.exists():
            _write_private(path, Ed25519PrivateKey.generate())
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path.with_suffix(".pub").write_bytes(public)


def _write_private(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)


def _read_public(path: Path) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} is not an Ed25519 key")
    return key
