"""Histograms of durations: exact below 32 ms, then buckets that grow by 3 %.

The database assigns durations to buckets (`duration_bucket` in its migration), and this module
evaluates them; a test verifies that both agree.
"""

import math
from collections.abc import Mapping
from typing import Final

EXACT_BELOW: Final = 32
PER_E: Final = 32
"""The number of buckets for each growth by the factor e."""


def bucket_of(ms: int) -> int:
    """Return the bucket of a duration in milliseconds."""
    if ms < EXACT_BELOW:
        return max(ms, 0)
    return EXACT_BELOW + math.floor((math.log(ms) - math.log(EXACT_BELOW)) * PER_E)


def middle_of(bucket: int) -> int:
    """Return the middle of a bucket, which deviates by at most 1.6 %."""
    if bucket < EXACT_BELOW:
        return bucket
    return round(EXACT_BELOW * math.exp((bucket - EXACT_BELOW + 0.5) / PER_E))


def percentile(jobs_by_bucket: Mapping[int, int], percent: float) -> int | None:
    """Return the given percentile of the durations, or None if there are no jobs."""
    total = sum(jobs_by_bucket.values())
    if not total:
        return None
    target = math.ceil(total * percent / 100)
    seen = 0
    for bucket in sorted(jobs_by_bucket):
        seen += jobs_by_bucket[bucket]
        if seen >= target:
            return middle_of(bucket)
    return None
