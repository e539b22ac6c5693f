"""The database that the tests of leases use."""

import pytest

from runwright.db.pool import Pool
from tests.integration.jobs.world import World


@pytest.fixture
def world(database: Pool) -> World:
    """A fresh database with services on it."""
    return World(database)
