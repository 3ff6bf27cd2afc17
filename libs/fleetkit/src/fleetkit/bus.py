"""The process's connection to NATS, which may come up later than the process."""

import asyncio

from nats.aio.client import Client

from fleetkit.config import FleetSettings
from fleetkit.logging import get_logger

_RECONNECT_WAIT_S = 1
_CONNECT_TIMEOUT_S = 2


class Bus:
    """A NATS client that keeps trying to connect for as long as the process lives."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._connected = asyncio.Event()
        self._reported = False
        # The client can't be closed before its first attempt to connect.
        self._began = False
        self.client = Client()

    async def connect(self) -> None:
        """Connects; returns once the server answers, however long that takes."""
        seed_file = self._settings.nats_nkey_file
        self._began = True
        await self.client.connect(
            servers=[self._settings.nats_url],
            name=self._settings.service,
            nkeys_seed_str=seed_file.read_text().strip() if seed_file else None,
            # A service may receive replies under its own prefix only.
            inbox_prefix=f"_INBOX.{self._settings.package}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,
            connect_timeout=_CONNECT_TIMEOUT_S,
            error_cb=self._report_error,
            disconnected_cb=self._report_disconnected,
            reconnected_cb=self._report_connected,
        )
        await self._report_connected()
        self._connected.set()

    async def wait_connected(self) -> None:
        """Waits for the first connection."""
        await self._connected.wait()

    async def is_connected(self) -> bool:
        """Whether the server answers now."""
        return self.client.is_connected

    async def close(self) -> None:
        """Sends what is pending and closes."""
        if self.client.is_connected:
            await self.client.drain()
        elif self._began:
            await self.client.close()

    async def _report_connected(self) -> None:
        self._reported = False
        get_logger().info("nats_connected")

    async def _report_disconnected(self) -> None:
        if not self.client.is_draining:
            get_logger().warning("nats_disconnected")

    async def _report_error(self, error: Exception) -> None:
        """One line per outage: the client calls this for every attempt."""
        if not self._reported:
            self._reported = True
            get_logger().warning("nats_unreachable", exc_info=error)
