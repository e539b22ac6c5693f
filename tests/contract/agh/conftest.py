"""Callers of the AGH API; every test has a tenant of its own."""

from uuid import uuid4

import pytest
from tests.contract.agh.client import Agh
from tests.contract.client import RawClient
from tests.contract.conftest import PLATFORM_KEY


@pytest.fixture
def agh(http: RawClient) -> Agh:
    """A system administrator of a fresh tenant."""
    return Agh(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
