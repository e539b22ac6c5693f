"""A client that was closed says so, whatever is asked of it."""

import pytest

from runwright.client import AsyncRunwright, Runwright
from runwright.client.errors import SetupError


def test_a_closed_client_refuses_requests_and_streams() -> None:
    with Runwright("http://127.0.0.1:9", api_key="rwk_x") as rw:
        pass
    with pytest.raises(SetupError, match="closed"):
        list(rw.workers.list())
    with pytest.raises(SetupError, match="closed"):
        next(iter(rw.stream()))
    rw.close()


async def test_so_does_an_asynchronous_one() -> None:
    async with AsyncRunwright("http://127.0.0.1:9", api_key="rwk_x") as rw:
        pass
    with pytest.raises(SetupError, match="closed"):
        await rw.jobs.get("job_1")
