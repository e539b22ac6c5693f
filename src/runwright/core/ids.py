"""Identifiers: a short prefix and a lower-case ULID, so that ids sort by creation time.

Within one process ids of one millisecond are strictly increasing too; lists and
cursors rely on that order. Ids are compared byte-wise (collation "C" in SQL).
"""

import re
from datetime import datetime
from typing import Final, Literal

from ulid import ULID, ULIDGenerator

Prefix = Literal["wkr", "job", "exe", "req", "key", "evt"]

_ID: Final = re.compile(r"[a-z]{2,4}_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_generator: Final = ULIDGenerator()


def new_id(prefix: Prefix, at: datetime) -> str:
    """Return a fresh id whose time part is `at`, for example `job_01jd…`."""
    return f"{prefix}_{str(_generator.generate(at)).lower()}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Tell whether `text` has the shape of an id of this kind."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def floor_id(prefix: Prefix, at: datetime) -> str:
    """Return the smallest id that a thing created at `at` can have.

    Times before 1970 or after the year 10889 clamp to the ends of the ULID range.
    """
    milliseconds = min(max(int(at.timestamp() * 1000), 0), 2**48 - 1)
    return f"{prefix}_{str(ULID.from_bytes(milliseconds.to_bytes(6, 'big') + bytes(10))).lower()}"
