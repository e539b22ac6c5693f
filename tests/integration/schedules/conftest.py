"""The world that the tests of schedules play in."""

import pytest

from runwright.db.pool import Pool
from tests.integration.schedules.world import ScheduleWorld


@pytest.fixture
def world(database: Pool) -> ScheduleWorld:
    """A fresh database with services on it."""
    return ScheduleWorld(database)
