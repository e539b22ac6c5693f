"""Former names, until every dialect uses `fields`."""

from runwright.http.fields import DEPTH_LIMIT, nests_too_deeply

__all__ = ["DEPTH_LIMIT", "nests_too_deeply"]
