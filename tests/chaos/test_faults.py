"""A short form of `make chaos`: the faults are real, only the numbers are small."""

from pathlib import Path

import pytest

from chaos import scenarios
from chaos.rig import PROCESSES, rig
from chaos.storm import storm


# By this seed the consumers die first: what they had in hand comes again while others die.
@pytest.mark.timeout(300)
async def test_each_event_is_handled_once_whatever_dies(tmp_path: Path) -> None:
    async with rig(tmp_path, ack_wait_s=2.0) as made:
        outcome = await storm(made, 200, every_s=0.0, seed=4, rounds=5)
        for name in PROCESSES:
            made.kill(name)
            made.environments[name].pop("FLEETDESK_DISORDER_PERCENT", None)
            made.disarm(name)
        await scenarios.consumer_killed_in_a_batch(made, 30)
    assert len(outcome.recoveries_s) == 5
    assert outcome.duplicates > 0


async def test_a_relay_that_dies_before_it_hears_of_the_stream_doubles_nothing(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as made:
        await scenarios.relay_killed_before_marking(made, 50)
