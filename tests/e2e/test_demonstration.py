"""The demonstration of `make run`: something on every page, a day of samples that say what they are, made once."""

import socket
from datetime import UTC, datetime, timedelta

from tests.contract.client import Api, Json, RawClient, data_of
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.waiting import eventually

from runwright.client import Runwright
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.demo.contents import Contents
from runwright.demo.history import SAMPLE
from runwright.demo.show import TENANT

RUNTIMES = {"python", "nodejs", "deno", "shell", "wasm"}
FLAGGED = 2
"""Refunds above the limit of the agent."""


def listed(api: Api, path: str, **params: str) -> list[Json]:
    return list(api.get(path, **params).json()["data"])


def samples(api: Api) -> list[Json]:
    before = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    return listed(api, "/jobs", **{"filter[created_before]": before, "per_page": "100"})


def test_the_demonstration_fills_its_tenant_once() -> None:
    own = {"RUNWRIGHT_DEMO": "1", "RUNWRIGHT_PORT": str(free_port())}  # as `make run`, without --dev
    with running_server(**own) as server, RawClient(server.url) as http:
        api = Api(http, key=PLATFORM_KEY, tenant=TENANT)
        past = eventually(lambda: samples(api))
        assert {one["triggered_by"] for one in past} == {SAMPLE}
        [line] = data_of(api.get(f"/jobs/{past[0]['id']}/logs"))["logs"]
        assert "did not run" in line["msg"]
        assert {one["status"] for one in past} == {"completed", "failed"}
        assert sum(past_of(api)) > len(past)

        assert {one["runtime"] for one in listed(api, "/workers", per_page="100")} == RUNTIMES
        assert len(eventually(lambda: full(listed(api, "/inbox"), FLAGGED))) == FLAGGED
        assert len(listed(api, "/schedules")) > FLAGGED
        eventually(lambda: deliveries(api, "delivered"))
        eventually(lambda: deliveries(api, "pending"))
        answers = eventually(lambda: answers_of(api) if len(answers_of(api)) > 2 else None)
        assert answers == {None, 200, 409}  # no such host, received, refused for now
        assert fill_again(server) == []


def full(rows: list[Json], count: int) -> list[Json] | None:
    return rows if len(rows) >= count else None


def past_of(api: Api) -> list[int]:
    """Return how many jobs ended in each part of the last day."""
    [series] = data_of(api.get("/jobs/series"))["series"]
    return list(series["completed"])


def deliveries(api: Api, status: str) -> list[Json]:
    webhooks = listed(api, "/v1/webhooks")
    which = {"filter[status]": status}
    return [one for hook in webhooks for one in listed(api, f"/v1/webhooks/{hook['id']}/deliveries", **which)]


def answers_of(api: Api) -> set[int | None]:
    found = [*deliveries(api, "delivered"), *deliveries(api, "pending")]
    return {attempt["response_status"] for one in found for attempt in one["attempts"]}


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fill_again(server: Server) -> object:
    credentials = Credentials(
        api_key=PLATFORM_KEY, tenant=TENANT, user="usr_demo", role="tenant-system-admin"
    )
    with Runwright.for_target(ServerTarget(url=server.url, credentials=credentials)) as client:
        return Contents(client).fill()
