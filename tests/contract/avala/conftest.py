"""Callers of the Avala API; every test has an organization of its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.contract.avala.client import Avala
from tests.contract.client import RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, shared_servers


@pytest.fixture
def avala(http: RawClient) -> Avala:
    """A system administrator of a fresh organization."""
    return Avala(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")


PUBLIC_URL = "https://run.example/base"


@pytest.fixture(scope="module")
def dev_server() -> Server:
    """A server that may send to loopback, and that users reach somewhere else."""
    return shared_servers.get(RUNWRIGHT_DEV="1", RUNWRIGHT_PUBLIC_URL=f"{PUBLIC_URL}/")


@pytest.fixture
def dev(dev_server: Server) -> Iterator[Avala]:
    """A system administrator there."""
    with RawClient(dev_server.url) as http:
        yield Avala(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
