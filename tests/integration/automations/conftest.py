"""The world that the tests of automations play in."""

import pytest

from runwright.db.pool import Pool
from tests.integration.automations.world import AutomationWorld


@pytest.fixture
def world(database: Pool) -> AutomationWorld:
    """A fresh database with services on it."""
    return AutomationWorld(database)
