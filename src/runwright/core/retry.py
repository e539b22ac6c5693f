"""Backoff between the attempts of a job."""

from typing import Final

CAP_SECONDS: Final = 300.0


def backoff_seconds(failed_attempts: int, jitter: float) -> float:
    """Return the delay before the next attempt: 2^(n-1) s after the n-th failure, at most 5 min.

    `jitter` in [0, 1) shortens it by up to a quarter, so that simultaneous failures spread out.
    """
    base = min(2.0 ** min(failed_attempts - 1, 16), CAP_SECONDS)
    return base * (1 - jitter / 4)
