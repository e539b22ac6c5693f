"""Durations in buckets: how far off what is read can be, and that the database agrees."""

import math

from hypothesis import given
from hypothesis import strategies as st

from runwright.core.histogram import EXACT_BELOW, bucket_of, middle_of, percentile
from runwright.db.pool import Pool

HOURS = 3 * 3_600_000
DURATIONS = st.integers(0, HOURS)


@given(DURATIONS)
def test_what_stands_for_a_bucket_is_close_to_all_in_it(ms: int) -> None:
    off = abs(middle_of(bucket_of(ms)) - ms)
    assert off == 0 if ms < EXACT_BELOW else off <= ms * 0.016 + 0.5


def test_the_first_buckets_are_exact_and_a_wide_one_is_represented_by_its_middle() -> None:
    assert [middle_of(bucket) for bucket in (0, 1, 31, 32, 33, 64, 96)] == [0, 1, 31, 33, 34, 88, 240]


@given(DURATIONS, DURATIONS)
def test_a_longer_duration_is_never_in_a_lower_bucket(one: int, other: int) -> None:
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@given(st.lists(DURATIONS, min_size=1), st.sampled_from([50.0, 95.0, 99.0, 100.0]))
def test_a_percentile_is_close_to_the_one_of_the_durations_themselves(
    durations: list[int], percent: float
) -> None:
    jobs: dict[int, int] = {}
    for ms in durations:
        jobs[bucket_of(ms)] = jobs.get(bucket_of(ms), 0) + 1
    exact = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]
    found = percentile(jobs, percent)
    assert found is not None
    assert abs(found - exact) <= exact * 0.016 + 0.5


def test_no_jobs_have_no_percentile() -> None:
    assert percentile({}, 50) is None


async def test_the_database_sorts_into_the_same_buckets(database: Pool) -> None:
    durations = [*range(-1, 200), *(2**n for n in range(8, 24)), *(2**n - 1 for n in range(8, 24)), HOURS]
    rows = await database.fetch(
        "SELECT ms, duration_bucket(ms) FROM unnest($1::integer[]) AS d (ms)", durations
    )
    assert [(ms, bucket) for ms, bucket in rows] == [(ms, bucket_of(ms)) for ms in durations]
