"""The world that these tests play in."""

import pytest

from runwright.db.pool import Pool
from tests.integration.outbox.world import World


@pytest.fixture
def world(database: Pool) -> World:
    """A fresh database with services on it."""
    return World(database)
