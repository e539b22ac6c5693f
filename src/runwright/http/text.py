"""Former names, until every dialect uses `fields`."""

from runwright.http.fields import plausible_id, plausible_time, storable_text

__all__ = ["plausible_id", "plausible_time", "storable_text"]
