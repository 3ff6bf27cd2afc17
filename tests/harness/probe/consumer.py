"""`python -m harness.probe.consumer`: a process that notes each event that it hears of."""

import asyncio
import os
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path

from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.errors import Unavailable
from fleetkit.events import EventMeta, is_latest
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.postgres import FleetConnection
from fleetkit.service import Runtime, cli

from harness.probe.settings import ConsumerSettings

_COUNTED = "counted"
_POLL_S = 0.05


def build(rt: Runtime) -> None:
    """Handles every event with one note; refuses some at first, dies where it is told to."""
    settings: ConsumerSettings = rt.settings
    death = _Death(settings.die_file) if settings.die_file is not None else None

    async def note(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
        late = meta.event_id.int % 100 < settings.disorder_percent
        if late and meta.deliveries == 1:
            raise Unavailable("comes later, and so after those behind it")
        await is_latest(conn, meta, event.agent_id)
        await conn.execute(
            "insert into note (note_id, tenant_id, label) values (%s, %s, %s)",
            [new_id(), meta.tenant_id, str(meta.event_id)],
        )
        conn.signal(_COUNTED)
        if death is not None:
            death.noted()

    if death is not None:
        rt.db.listen(_COUNTED, death.committed)
    if settings.hold_file is not None:
        rt.schedule("hold", timedelta(hours=1), partial(_hold, settings.hold_file))
    rt.consume({"fleetdesk.gateway.v1.TenantCreated": note})


async def _hold(file: Path) -> None:
    """A periodic job that goes on while the file is there."""
    get_logger().info("job_began")
    while file.exists():  # noqa: ASYNC240 - a look at a local file
        await asyncio.sleep(_POLL_S)


class _Death:
    """Ends the process where the file says, if there is one.

    With a number in it: in the midst of noting that many events, before their commit. Else between
    the next commit and the acknowledgement.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._noted = 0

    def noted(self) -> None:
        """An event was noted; others may follow in the same transaction."""
        after = self._told()
        if after:
            self._noted += 1
            if self._noted == int(after):
                self._die()

    def committed(self) -> None:
        """What was noted is committed."""
        if self._told() == "":
            self._die()

    def _told(self) -> str | None:
        return self._file.read_text() if self._file.exists() else None

    def _die(self) -> None:
        self._file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    cli(ConsumerSettings, build, "harness.probe")
