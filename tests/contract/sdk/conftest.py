"""Clients of the SDK for a real server; every test has a tenant of its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.contract.conftest import MakeKey, Server

from runwright import Runwright

WAIT = 60.0
REPORTS = """
import time
from runwright import job
def handler(input, env):
    if "go" in input:
        return job.set("go", True)
    print("began")
    job.progress(0.4, "pages")
    while not job.get("go"):
        time.sleep(0.05)
"""
"""Reports how far it is, and waits until another job of the worker lets it go on."""
ECHO = "async def handler(input, env):\n    return input\n"
COUNT = "async def handler(input, env):\n    for n in range(input['lines']):\n        print('line', n)\n    return n\n"


@pytest.fixture
def tenant() -> str:
    return f"ten_{uuid4().hex}"


@pytest.fixture
def key(make_key: MakeKey, tenant: str) -> str:
    return make_key(tenant, "tenant-system-admin")


@pytest.fixture
def rw(server: Server, key: str) -> Iterator[Runwright]:
    with Runwright(server.url, key) as client:
        yield client
