"""When a request is sent again, and after how long.

Sent again is what certainly did nothing (no connection, 429) and what may be repeated: requests that read,
replace or delete, and those with an idempotency key. Nothing else, since it could be done twice.
"""

import random
from typing import Final

from runwright.client.errors import ApiError, Unreachable

LONGEST_WAIT_SECONDS: Final = 60.0
"""A server that asks for more than that is not waited for."""

_FIRST_SECONDS: Final = 0.2
_MOST_SECONDS: Final = 5.0
_GATEWAYS: Final = frozenset({502, 503, 504})
_TOO_MANY: Final = 429
_QUOTA: Final = "quota_exceeded"


def backoff_seconds(attempt: int) -> float:
    """Return how long to wait after the given attempt (from 0): twice as long each time, with jitter."""
    longest = min(_MOST_SECONDS, _FIRST_SECONDS * 2.0**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311  jitter, not a secret


def retry_seconds(error: ApiError | Unreachable, attempt: int, *, repeatable: bool) -> float | None:
    """Return how long to wait before the request is sent again; None: it is not."""
    if isinstance(error, Unreachable):
        return backoff_seconds(attempt) if repeatable or not error.sent else None
    refused = error.status == _TOO_MANY and error.code != _QUOTA
    if not refused and not (repeatable and error.status in _GATEWAYS):
        return None
    seconds = backoff_seconds(attempt) if error.retry_after is None else error.retry_after
    return seconds if seconds <= LONGEST_WAIT_SECONDS else None
