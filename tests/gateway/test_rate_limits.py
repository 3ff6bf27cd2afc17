"""The generic cell rate algorithm, by a clock that the test moves."""

import pytest
from gateway.rate_limits import Limit, RateLimiter, TooManyRequests
from gateway.requests import network_of
from hypothesis import given
from hypothesis import strategies as st

TEN_A_MINUTE = Limit("test", 10, 60)


class Hand:
    """A clock's hand."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


class TestRateLimiter:
    def test_it_lets_so_many_in_and_no_more(self):
        limiter = RateLimiter(Hand())
        left = [limiter.hit(TEN_A_MINUTE, "a").remaining for _ in range(10)]
        assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
        with pytest.raises(TooManyRequests) as refused:
            limiter.hit(TEN_A_MINUTE, "a")
        assert refused.value.retry_after_s == pytest.approx(6)

    def test_it_lets_in_again_as_time_goes_by(self):
        hand = Hand()
        limiter = RateLimiter(hand)
        for _ in range(10):
            limiter.hit(TEN_A_MINUTE, "a")
        hand.at_s += 6
        limiter.hit(TEN_A_MINUTE, "a")
        with pytest.raises(TooManyRequests):
            limiter.hit(TEN_A_MINUTE, "a")
        hand.at_s += 60
        assert limiter.hit(TEN_A_MINUTE, "a").remaining == 9

    def test_keys_and_limits_are_counted_apart(self):
        limiter = RateLimiter(Hand())
        one = Limit("one", 1, 60)
        limiter.hit(one, "a")
        limiter.hit(one, "b")
        limiter.hit(Limit("two", 1, 60), "a")
        with pytest.raises(TooManyRequests):
            limiter.hit(one, "a")

    def test_a_refused_request_is_not_counted(self):
        hand = Hand()
        limiter = RateLimiter(hand)
        one = Limit("one", 1, 60)
        limiter.hit(one, "a")
        for _ in range(100):
            with pytest.raises(TooManyRequests):
                limiter.hit(one, "a")
        hand.at_s += 60
        limiter.hit(one, "a")

    def test_checking_counts_nothing(self):
        limiter = RateLimiter(Hand())
        one = Limit("one", 1, 60)
        for _ in range(100):
            limiter.check(one, "a")
        limiter.hit(one, "a")
        with pytest.raises(TooManyRequests):
            limiter.check(one, "a")

    def test_it_remembers_a_bounded_number_of_keys(self, monkeypatch):
        monkeypatch.setattr("gateway.rate_limits._MAX_KEYS", 10)
        limiter = RateLimiter(Hand())
        for number in range(100):
            limiter.hit(TEN_A_MINUTE, str(number))
        assert len(limiter._empty_at) == 10

    @given(
        count=st.integers(1, 2000),
        window_s=st.sampled_from([1, 60, 3600]),
        pauses=st.lists(st.floats(0, 30), max_size=200),
    )
    def test_no_window_ever_sees_more_than_twice_its_limit(self, count, window_s, pauses):
        hand = Hand()
        limiter = RateLimiter(hand)
        limit = Limit("any", count, window_s)
        taken: list[float] = []
        for pause in pauses:
            hand.at_s += pause
            for _ in range(5):
                try:
                    limiter.hit(limit, "a")
                except TooManyRequests:
                    continue
                taken.append(hand.at_s)
        for start in taken:
            inside = [at for at in taken if start <= at < start + window_s]
            assert len(inside) <= 2 * count

    def test_the_headers_are_those_of_the_draft(self):
        standing = RateLimiter(Hand()).hit(TEN_A_MINUTE, "a")
        assert standing.headers() == [
            (b"ratelimit-policy", b'"test";q=10;w=60'),
            (b"ratelimit", b'"test";r=9;t=6'),
        ]


class TestNetwork:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("", ""),
            ("a socket", "a socket"),
        ],
    )
    def test_one_customer_is_one_key(self, address, network):
        assert network_of(address) == network
