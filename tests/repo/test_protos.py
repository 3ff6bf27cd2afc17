"""The released contract: what buf checks, and that its check works."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sysconfig.get_path("scripts")) / "buf"


def breaking(protos: Path, released: Path) -> subprocess.CompletedProcess[str]:
    """Compare `protos` with a released image, as `make lint` does."""
    return subprocess.run(
        [str(BUF), "breaking", str(protos), "--against", str(released)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied(tmp_path):
    """A copy of the protos, to change, and the image that was released before the change."""
    shutil.copytree(PROTOS, tmp_path / "protos")
    released = tmp_path / "released.binpb"
    subprocess.run([str(BUF), "build", str(PROTOS), "--output", str(released)], check=True)
    return tmp_path / "protos", released


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


class TestBreaking:
    def test_the_protos_are_compatible_with_what_was_released(self):
        found = breaking(PROTOS, PROTOS / "released.binpb")
        assert found.returncode == 0, found.stdout + found.stderr

    def test_a_removed_field_is_refused(self, copied):
        protos, released = copied
        file = protos / "fleetdesk" / "gateway" / "v1" / "events.proto"
        change(file, "string plan_id = 6;", "reserved 7;")
        found = breaking(protos, released)
        assert found.returncode != 0
        assert "plan_id" in found.stdout

    def test_a_changed_type_is_refused(self, copied):
        protos, released = copied
        file = protos / "fleetdesk" / "gateway" / "v1" / "events.proto"
        change(file, "int64 revision = 4;", "string revision = 4;")
        assert breaking(protos, released).returncode != 0

    def test_a_new_field_is_fine(self, copied):
        protos, released = copied
        file = protos / "fleetdesk" / "gateway" / "v1" / "events.proto"
        change(
            file,
            "string plan_id = 6;",
            "string plan_id = 6;\n  // How many are paid for.\n  int64 seats = 7;",
        )
        found = breaking(protos, released)
        assert found.returncode == 0, found.stdout
