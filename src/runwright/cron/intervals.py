"""Nominal times that no cron expression names: a grid of equal steps, a single instant.

Both are a `core.ticks.Timing`.
"""

from datetime import datetime, timedelta

import msgspec


class Every(msgspec.Struct, frozen=True):
    """Every whole number of steps after the anchor, from the first on."""

    anchor: datetime
    step: timedelta

    def next_after(self, at: datetime) -> datetime | None:
        """Return the first grid point after an instant; None at the end of all time."""
        steps = max((at - self.anchor) // self.step + 1, 1)
        try:
            return self.anchor + steps * self.step
        except OverflowError:
            return None

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many grid points there are after one instant and not after another."""
        return max((until - self.anchor) // self.step, 0) - max((after - self.anchor) // self.step, 0)


class Once(msgspec.Struct, frozen=True):
    """One instant."""

    at: datetime

    def next_after(self, at: datetime) -> datetime | None:
        """Return the instant where it is to come."""
        return self.at if self.at > at else None

    def count(self, after: datetime, until: datetime) -> int:
        """Tell whether the instant lies after one and not after another."""
        return int(after < self.at <= until)
