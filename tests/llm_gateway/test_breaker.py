"""When a provider or model is left alone, and for how long."""

import pytest
from fleetkit.errors import ResourceExhausted, Unavailable
from llm_gateway.breaker import Breaker

ONE, OTHER = "acme/one", "acme/other"


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker(time)


def fail(breaker: Breaker, model: str = ONE, times: int = 1) -> None:
    for _ in range(times):
        with breaker.trying(model) as trial:
            trial.failed(Unavailable("down"), limited=False)


def succeed(breaker: Breaker, model: str = ONE) -> None:
    with breaker.trying(model) as trial:
        trial.succeeded()


class TestModel:
    def test_is_left_alone_after_five_failures_in_a_row(self, breaker: Breaker) -> None:
        fail(breaker, times=4)
        assert breaker.wait_s(ONE) == 0
        succeed(breaker)
        fail(breaker, times=4)
        assert breaker.wait_s(ONE) == 0
        fail(breaker)
        assert breaker.wait_s(ONE) == 5
        assert breaker.wait_s(OTHER) == 0

    def test_one_request_tries_after_the_cooldown(self, breaker: Breaker, time: Time) -> None:
        fail(breaker, times=5)
        time.now += 5
        assert breaker.wait_s(ONE) == 0
        with breaker.trying(ONE) as trial:
            assert breaker.wait_s(ONE) > 0, "the others wait for what comes of it"
            trial.succeeded()
        assert breaker.wait_s(ONE) == 0

    def test_waits_longer_each_time_it_fails_again(self, breaker: Breaker, time: Time) -> None:
        fail(breaker, times=5)
        waited: list[float] = []
        for _ in range(6):
            time.now += breaker.wait_s(ONE)
            fail(breaker)
            waited.append(breaker.wait_s(ONE))
        assert waited == [10, 20, 40, 80, 120, 120]
        time.now += 120
        succeed(breaker)
        fail(breaker, times=5)
        assert breaker.wait_s(ONE) == 5

    def test_a_try_of_which_nothing_was_heard_lets_the_next_one_try(
        self, breaker: Breaker, time: Time
    ) -> None:
        fail(breaker, times=5)
        time.now += 5
        with breaker.trying(ONE):
            pass
        assert breaker.wait_s(ONE) == 0
        assert next(v.state for v in breaker.views() if v.name == ONE) == "trying"

    def test_comes_back_when_it_said_it_would(self, breaker: Breaker, time: Time) -> None:
        with breaker.trying(ONE) as trial:
            trial.failed(ResourceExhausted("limit", retry_after_s=42), limited=True)
        assert breaker.wait_s(ONE) == 42
        assert breaker.wait_s(OTHER) == 0, "a limit is of one model"
        time.now += 42
        assert breaker.wait_s(ONE) == 0

    def test_does_not_believe_in_days(self, breaker: Breaker) -> None:
        with breaker.trying(ONE) as trial:
            trial.failed(ResourceExhausted("limit", retry_after_s=86_400), limited=True)
        assert breaker.wait_s(ONE) == 600


class TestProvider:
    def test_is_left_alone_when_its_models_fail(self, breaker: Breaker) -> None:
        for model in ("acme/a", "acme/b", "acme/c"):
            fail(breaker, model, times=3)
        assert breaker.wait_s("acme/new") == 0
        fail(breaker, "acme/d")
        assert breaker.wait_s("acme/new") == 5
        assert breaker.wait_s("other/model") == 0
