"""The world that the tests of automations play in."""

from collections.abc import AsyncIterator

import pytest

from runwright.db.pool import Pool
from tests.integration.automations.world import AutomationWorld


@pytest.fixture
async def world(database: Pool) -> AsyncIterator[AutomationWorld]:
    """A fresh database with services on it."""
    one = AutomationWorld(database)
    yield one
    await one.offload.stop()
