"""A world on a fresh database."""

import pytest

from runwright.db.pool import Pool
from tests.integration.agents.world import World


@pytest.fixture
def world(database: Pool) -> World:
    """Agents and a clock that the test owns."""
    return World(database)
