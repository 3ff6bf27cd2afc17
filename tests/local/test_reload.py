"""`make dev`: a service is restarted when its own code changes, all when the libraries do."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fleetdesk_local.programs import Program
from fleetdesk_local.reload import restart_on_change
from fleetdesk_local.supervisor import Supervisor
from fleetkit.tasks import end
from harness.waiting import eventually

SERVICES = ("alpha", "beta")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two services and a library."""
    root = tmp_path / "repository"
    for folder in ("services/alpha/src", "services/beta/src", "libs/kit/src"):
        (root / folder).mkdir(parents=True)
        (root / folder / "code.py").write_text("")
    return root


@pytest.fixture
async def supervisor(tmp_path: Path, repository: Path) -> AsyncIterator[Supervisor]:
    """Runs both, and restarts them on a change."""
    opened = Supervisor(tmp_path / "run", lambda _: None)
    await opened.open()
    for name in SERVICES:
        program = Program(
            name=name,
            argv=(sys.executable, "-c", "import time; time.sleep(60)"),
            log_file=tmp_path / "logs" / f"{name}.log",
            environment=dict(os.environ),
        )
        await opened.start(program)
    watching = asyncio.create_task(restart_on_change(opened, SERVICES, repository))
    yield opened
    await end([watching])
    await opened.close()


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {name: supervisor.pid(name) for name in SERVICES}


class TestRestartOnChange:
    async def test_restarts_the_service_that_changed_and_no_other(
        self, supervisor: Supervisor, repository: Path
    ) -> None:
        before = pids(supervisor)
        (repository / "services/alpha/src/code.py").write_text("changed = True")

        async def alpha_is_new() -> bool:
            return supervisor.pid("alpha") not in (None, before["alpha"])

        await eventually(alpha_is_new)
        assert supervisor.pid("beta") == before["beta"]

    async def test_restarts_all_when_a_library_gets_a_file(
        self, supervisor: Supervisor, repository: Path
    ) -> None:
        before = pids(supervisor)
        (repository / "libs/kit/src/more.sql").write_text("")

        async def all_are_new() -> bool:
            now = pids(supervisor)
            return all(now[name] not in (None, before[name]) for name in SERVICES)

        await eventually(all_are_new)

    async def test_leaves_them_alone_for_what_is_no_code(
        self, supervisor: Supervisor, repository: Path
    ) -> None:
        before = pids(supervisor)
        (repository / "services/alpha/src/notes.txt").write_text("")
        (repository / "services/beta/src/code.py").write_text("changed = True")

        async def beta_is_new() -> bool:
            return supervisor.pid("beta") not in (None, before["beta"])

        await eventually(beta_is_new)
        assert supervisor.pid("alpha") == before["alpha"]
