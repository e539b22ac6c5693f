"""Timings without a cron expression: an interval, and a single instant.

Both implement `schedules.tick_policy.Timing`.
"""

from datetime import datetime, timedelta

import msgspec


class Every(msgspec.Struct, frozen=True):
    """Every whole number of steps after the anchor."""

    anchor: datetime
    step: timedelta

    def next_after(self, at: datetime) -> datetime | None:
        """Return the first time after an instant; None beyond the range of datetime."""
        steps = max((at - self.anchor) // self.step + 1, 1)
        try:
            return self.anchor + steps * self.step
        except OverflowError:
            return None

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of times after one instant and not after another."""
        return max((until - self.anchor) // self.step, 0) - max((after - self.anchor) // self.step, 0)


class Once(msgspec.Struct, frozen=True):
    """One instant."""

    at: datetime

    def next_after(self, at: datetime) -> datetime | None:
        """Return the instant, if it is later."""
        return self.at if self.at > at else None

    def count(self, after: datetime, until: datetime) -> int:
        """Return 1 if the instant is after one and not after another, else 0."""
        return int(after < self.at <= until)
