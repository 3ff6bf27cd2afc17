from pathlib import Path
from uuid import UUID

import pytest
from fleetkit.blobs import Blobs
from fleetkit.errors import InvalidArgument, NotFound, Unavailable


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/some%20where/blobs")


class TestBlobs:
    async def test_gives_back_what_was_put(self, blobs: Blobs, tenant_id: UUID) -> None:
        data = bytes(range(256)) * 1000
        await blobs.put(f"{tenant_id}/originals/a.pdf", data)
        assert await blobs.get(f"{tenant_id}/originals/a.pdf") == data

    async def test_an_empty_one_is_one(self, blobs: Blobs, tenant_id: UUID) -> None:
        await blobs.put(f"{tenant_id}/empty", b"")
        assert await blobs.get(f"{tenant_id}/empty") == b""

    async def test_a_put_replaces(self, blobs: Blobs, tenant_id: UUID) -> None:
        await blobs.put(f"{tenant_id}/a", b"1")
        await blobs.put(f"{tenant_id}/a", b"2")
        assert await blobs.get(f"{tenant_id}/a") == b"2"

    async def test_what_is_not_there_is_not_found(self, blobs: Blobs, tenant_id: UUID) -> None:
        with pytest.raises(NotFound):
            await blobs.get(f"{tenant_id}/a")

    async def test_deleting_is_idempotent(self, blobs: Blobs, tenant_id: UUID) -> None:
        await blobs.put(f"{tenant_id}/a", b"1")
        await blobs.delete(f"{tenant_id}/a")
        await blobs.delete(f"{tenant_id}/a")
        with pytest.raises(NotFound):
            await blobs.get(f"{tenant_id}/a")

    async def test_a_prefix_is_deleted_whole_and_nothing_else(
        self, blobs: Blobs, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        for name in ("a", "deep/b", "deep/er/c"):
            await blobs.put(f"{tenant_id}/{name}", b"1")
        await blobs.put(f"{other_tenant_id}/a", b"2")
        assert await blobs.delete_prefix(f"{tenant_id}/") == 3
        assert await blobs.delete_prefix(f"{tenant_id}/") == 0
        assert await blobs.get(f"{other_tenant_id}/a") == b"2"

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "a",
            "/etc/passwd",
            "{tenant}",
            "{tenant}/",
            "{tenant}/../x",
            "{tenant}/.hidden",
            "{tenant}/a//b",
            "{tenant}/a b",
            "{tenant}/\x00",
            "not-a-tenant/a",
        ],
    )
    async def test_keys_that_could_leave_their_tenant_are_refused(
        self, blobs: Blobs, tenant_id: UUID, key: str
    ) -> None:
        with pytest.raises(InvalidArgument):
            await blobs.put(key.format(tenant=tenant_id), b"")

    async def test_a_prefix_is_at_least_a_whole_tenant(self, blobs: Blobs, tenant_id: UUID) -> None:
        for prefix in ("", "/", str(tenant_id), str(tenant_id)[:8]):
            with pytest.raises(InvalidArgument):
                await blobs.delete_prefix(prefix)

    async def test_a_store_that_can_not_write_is_unavailable(
        self, tmp_path: Path, tenant_id: UUID
    ) -> None:
        blobs = Blobs(f"file://{tmp_path}/blobs")
        (tmp_path / "blobs" / str(tenant_id)).write_text("a file where a folder should be")
        with pytest.raises(Unavailable):
            await blobs.put(f"{tenant_id}/a", b"1")

    def test_other_schemes_are_refused(self) -> None:
        with pytest.raises(InvalidArgument):
            Blobs("https://example.org/")
