"""Former names, until every dialect uses `fields`."""

from runwright.http.fields import format_optional_time as time_or_none
from runwright.http.fields import format_time as time_wire

__all__ = ["time_or_none", "time_wire"]
