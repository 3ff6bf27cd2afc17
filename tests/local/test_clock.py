from datetime import timedelta

import pytest
from fleetdesk_local import clock
from fleetdesk_local.data_dir import DataDir
from fleetdesk_local.errors import LocalError
from fleetkit.clock import Clock


class TestParseDuration:
    @pytest.mark.parametrize(
        ("text", "hours"), [("24h", 24), ("90m", 1.5), ("7d", 168), ("1d12h", 36), ("1800s", 0.5)]
    )
    def test_reads_numbers_with_units(self, text, hours):
        assert clock.parse_duration(text) == timedelta(hours=hours)

    @pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "tomorrow"])
    def test_says_how_to_write_one(self, text):
        with pytest.raises(LocalError, match="write one as 90s, 15m, 24h"):
            clock.parse_duration(text)


class TestAdvance:
    def test_moves_the_clock_that_services_read_and_adds_up(self, tmp_path):
        data = DataDir(tmp_path)
        running = Clock(data.clock_file)
        before = running.now()
        clock.advance(data, timedelta(hours=24))
        assert timedelta(hours=24) <= running.now() - before < timedelta(hours=25)
        assert clock.advance(data, timedelta(hours=1)) == timedelta(hours=25)
        assert running.now() - before >= timedelta(hours=25)
