"""Keys on disk."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fleetkit.rpc.identity import mint_caller, verify_caller
from fleetkit.rpc.keys import KeyRing, generate_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_keys(tmp_path / "keys", ["gateway", "memory"])
    return tmp_path / "keys"


class TestGenerateKeys:
    def test_private_keys_are_for_their_owner_only(self, folder: Path) -> None:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "gateway.key").stat().st_mode & 0o777 == 0o600

    def test_again_keeps_what_is_there_and_adds_what_is_missing(self, folder: Path) -> None:
        before = (folder / "gateway.key").read_bytes(), (folder / "gateway.pub").read_bytes()
        (folder / "memory.pub").unlink()
        generate_keys(folder, ["gateway", "memory", "billing"])
        after = (folder / "gateway.key").read_bytes(), (folder / "gateway.pub").read_bytes()
        assert after == before
        assert (folder / "memory.pub").is_file()
        assert (folder / "billing.key").is_file()


class TestLoad:
    def test_reads_the_own_key_and_all_public_ones(self, folder: Path) -> None:
        (folder / "gateway.key").chmod(0o000)
        ring = KeyRing.load(folder, "memory")
        assert set(ring.public) == {"gateway", "memory"}
        assert verify_caller(ring, mint_caller(ring, "memory")).service == "memory"

    def test_a_missing_key_is_named(self, folder: Path) -> None:
        with pytest.raises(ValueError, match=r"billing\.key is missing"):
            KeyRing.load(folder, "billing")

    def test_a_key_that_everybody_may_read_is_refused(self, folder: Path) -> None:
        (folder / "memory.key").chmod(0o644)
        with pytest.raises(ValueError, match="chmod 600"):
            KeyRing.load(folder, "memory")

    @pytest.mark.parametrize("name", ["memory.key", "memory.pub"])
    def test_another_kind_of_key_is_refused(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        if name.endswith(".key"):
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        else:
            pem = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        (folder / name).write_bytes(pem)
        with pytest.raises(ValueError, match="is not an Ed25519 key"):
            KeyRing.load(folder, "memory")
