"""The buckets of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.tenants.rate_limits import Rate, RateLimiter, RateLimitState


class Seconds:
    """A clock that tests advance."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def limiter_of(rate: Rate | None, seconds: Seconds, *, most_buckets: int = 100) -> RateLimiter:
    return RateLimiter(
        rate, seconds=seconds, wall_seconds=lambda: seconds.at + 5000, most_buckets=most_buckets
    )


def test_a_burst_passes_and_then_the_rate_holds(seconds: Seconds) -> None:
    limiter = limiter_of(Rate(2, 3), seconds)
    assert [limiter.take("a") for _ in range(3)] == [
        RateLimitState(3, 2, 6001),
        RateLimitState(3, 1, 6001),
        RateLimitState(3, 0, 6002),
    ]
    assert limiter.take("a") == RateLimitState(3, 0, 6002, retry_after=1)
    seconds.at += 0.5
    assert limiter.take("a") == RateLimitState(3, 0, 6002)
    assert limiter.take("a") == RateLimitState(3, 0, 6002, retry_after=1)
    seconds.at += 100
    assert limiter.take("a") == RateLimitState(3, 2, 6101)


def test_who_waits_as_long_as_told_passes(seconds: Seconds) -> None:
    limiter = limiter_of(Rate(0.1, 1), seconds)
    limiter.take("a")
    seconds.at += 0.25
    refused = limiter.take("a")
    assert refused == RateLimitState(1, 0, 6010, retry_after=10)
    seconds.at += 9
    assert limiter.take("a") == RateLimitState(1, 0, 6010, retry_after=1)
    seconds.at += 1
    assert limiter.take("a") == RateLimitState(1, 0, 6021)


def test_tenants_do_not_share_a_bucket(seconds: Seconds) -> None:
    limiter = limiter_of(Rate(1, 1), seconds)
    assert limiter.take("a") == RateLimitState(1, 0, 6001)
    assert limiter.take("b") == RateLimitState(1, 0, 6001)
    assert limiter.take("a") == RateLimitState(1, 0, 6001, retry_after=1)


def test_a_tenant_may_have_a_rate_of_its_own(seconds: Seconds) -> None:
    own = {"a": Rate(1, 2)}
    limiter = RateLimiter(Rate(1, 1), rate_of=own.get, seconds=seconds, wall_seconds=seconds)
    assert limiter.take("a") != limiter.take("b")
    first, other = limiter.take("a"), limiter.take("b")
    assert first is not None
    assert other is not None
    assert (first.retry_after, other.retry_after) == (None, 1)
    own["a"] = Rate(1, 1)
    lowered = limiter.take("a")
    assert lowered is not None
    assert lowered.retry_after == 1, "a bucket that was larger is empty, and not in debt"


def test_without_a_rate_there_is_no_limit(seconds: Seconds) -> None:
    assert limiter_of(None, seconds).take("a") is None


def test_buckets_are_bounded_and_those_in_use_go_last(seconds: Seconds) -> None:
    limiter = limiter_of(Rate(1, 100), seconds, most_buckets=10)
    for _ in range(100):
        limiter.take("busy")
    for n in range(1000):
        limiter.take(f"ten_{n}")
    assert len(limiter) <= 10
    refused = limiter.take("busy")
    assert refused is not None
    assert refused.retry_after == 1
    seconds.at += 1000
    for n in range(20):
        limiter.take(f"later_{n}")
    assert len(limiter) <= 10


@given(
    st.floats(0.5, 5000),
    st.integers(1, 50),
    st.lists(st.floats(0, 3, allow_subnormal=False), min_size=1, max_size=200),
)
def test_never_more_pass_than_the_burst_and_what_came_back(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    seconds = Seconds()
    limiter = limiter_of(Rate(per_second, burst), seconds)
    passed: list[float] = []
    remaining = burst
    for pause in pauses:
        seconds.at += pause
        allowance = limiter.take("a")
        assert allowance is not None
        assert 0 <= allowance.remaining < burst
        assert allowance.reset_at >= seconds.at + 5000
        refused = allowance.retry_after is not None
        assert not (refused and remaining > 0 and not pause), "what was said to remain may be used"
        remaining = allowance.remaining
        if not refused:
            passed.append(seconds.at)
    for start, first in enumerate(passed):
        for end in range(start, len(passed)):
            assert end - start + 1 <= burst + (passed[end] - first) * per_second + 1e-3
