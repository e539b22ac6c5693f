"""Durations in a histogram: exact below 32 ms, then buckets that grow by 3 %.

The database sorts durations into the buckets (`duration_bucket` in its migration) and this
module reads them; a test holds the two together.
"""

import math
from collections.abc import Mapping
from typing import Final

EXACT_BELOW: Final = 32
PER_E: Final = 32
"""Buckets in which a duration grows by the factor e."""


def bucket_of(ms: int) -> int:
    """Return the bucket of a duration in milliseconds."""
    if ms < EXACT_BELOW:
        return max(ms, 0)
    return EXACT_BELOW + math.floor((math.log(ms) - math.log(EXACT_BELOW)) * PER_E)


def middle_of(bucket: int) -> int:
    """Return the duration that stands for a bucket, at most 1.6 % off."""
    if bucket < EXACT_BELOW:
        return bucket
    return round(EXACT_BELOW * math.exp((bucket - EXACT_BELOW + 0.5) / PER_E))


def percentile(jobs_by_bucket: Mapping[int, int], percent: float) -> int | None:
    """Return the duration that so many percent of the jobs do not exceed; None for no jobs."""
    total = sum(jobs_by_bucket.values())
    if not total:
        return None
    wanted = math.ceil(total * percent / 100)
    seen = 0
    for bucket in sorted(jobs_by_bucket):
        seen += jobs_by_bucket[bucket]
        if seen >= wanted:
            return middle_of(bucket)
    return None
