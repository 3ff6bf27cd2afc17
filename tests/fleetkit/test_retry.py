"""Retries of idempotent calls."""

import pytest
from fleetkit.context import deadline_in
from fleetkit.errors import FleetError, NotFound, Unavailable
from fleetkit.rpc.retry import retry_idempotent


class Flaky:
    """Fails with each of `failures` in turn, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


class TestRetryIdempotent:
    async def test_tries_again_while_unavailable(self) -> None:
        flaky = Flaky(Unavailable("away"), Unavailable("away"))
        assert await retry_idempotent(flaky) == "done"
        assert flaky.calls == 3

    async def test_gives_up_after_its_attempts_with_the_last_error(self) -> None:
        flaky = Flaky(Unavailable("1"), Unavailable("2"), Unavailable("3"))
        with pytest.raises(Unavailable, match="2"):
            await retry_idempotent(flaky, attempts=2)
        assert flaky.calls == 2

    @pytest.mark.parametrize("error", [NotFound("x"), FleetError("x"), ValueError("x")])
    async def test_other_errors_pass_at_once(self, error: Exception) -> None:
        flaky = Flaky(error)
        with pytest.raises(type(error)):
            await retry_idempotent(flaky)
        assert flaky.calls == 1

    async def test_does_not_wait_past_the_deadline(self) -> None:
        flaky = Flaky(Unavailable("away", retry_after_s=60))
        with deadline_in(5), pytest.raises(Unavailable):
            await retry_idempotent(flaky)
        assert flaky.calls == 1

    async def test_waits_as_long_as_asked(self) -> None:
        flaky = Flaky(Unavailable("away", retry_after_s=0.01))
        with deadline_in(5):
            assert await retry_idempotent(flaky) == "done"
