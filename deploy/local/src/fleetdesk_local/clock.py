"""The fleet clock of a local fleet, moved forward by hand."""

import json
import re
from datetime import timedelta

from fleetdesk_local.data_dir import DataDir, write_private
from fleetdesk_local.errors import LocalError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """A duration such as 90s, 15m, 24h, 7d or 1d12h; LocalError otherwise."""
    if not re.fullmatch(r"(\d+[smhd])+", text):
        raise LocalError(f"{text!r} is no duration: write one as 90s, 15m, 24h, 7d or 1d12h.")
    parts = re.findall(r"(\d+)([smhd])", text)
    return sum(
        (timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), start=timedelta()
    )


def advance(data: DataDir, by: timedelta) -> timedelta:
    """Move the clock forward; returns how far it is ahead now. Services see it at once."""
    offset = read_offset(data) + by
    write_private(data.clock_file, json.dumps({"offset_s": offset.total_seconds()}))
    return offset


def read_offset(data: DataDir) -> timedelta:
    """How far the fleet clock is ahead of real time."""
    try:
        return timedelta(seconds=json.loads(data.clock_file.read_text())["offset_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return timedelta()
