"""`/v1/system`: the state of the server, for its operator alone."""

from tests.contract.client import TIME, Api, data_of, error_of
from tests.contract.conftest import MakeKey, Server
from tests.waiting import until

from runwright import __version__
from runwright.db.migrator import bundled_migrations

SYSTEM = "/v1/system"


def test_the_operator_sees_the_state_of_the_server(api: Api, server: Server) -> None:
    operator = api.having(role="platform-admin")
    shown = data_of(operator.get(SYSTEM))
    assert shown["version"] == __version__
    assert set(shown["roles"]) == {"api", "executor", "scheduler", "router", "deliverer"}
    executor = next(one for one in shown["executors"] if one["pid"] == server.pid)
    assert executor["live"]
    assert executor["slots"] > 0
    assert "python" in executor["runtimes"]
    assert TIME.fullmatch(executor["lease_expires_at"])
    assert shown["isolation"]["level"] in {"process", "standard", "strict"}
    for missing in shown["isolation"]["missing"]:
        assert missing["what"]
        assert missing["remedy"]
    assert shown["database"]["embedded"]
    assert shown["database"]["schema_version"] == bundled_migrations()[-1].version
    assert shown["database"]["size_bytes"] > 1_000_000
    storage = {part["name"]: part for part in shown["storage"]}
    assert {"jobs", "logs", "code", "events", "audit"} <= set(storage)
    assert sum(part["size_bytes"] for part in storage.values()) < shown["database"]["size_bytes"]
    assert all(part["unused_bytes"] == 0 for name, part in storage.items() if name != "code")
    folders = {disk["folder"]: disk for disk in shown["disks"]}
    assert folders["data_dir"]["path"] == str(server.data_dir)
    assert 0 < folders["data_dir"]["free_bytes"] < folders["data_dir"]["total_bytes"]


def test_it_says_for_how_long_the_oldest_job_has_been_due(api: Api) -> None:
    operator = api.having(role="platform-admin")
    later = api.make_job(api.make_worker()["id"], scheduled_at="2099-01-01T00:00:00Z")
    assert data_of(operator.get(SYSTEM))["queue"]["waiting"] >= 1
    blocker = api.make_worker(
        source_code="import time\ndef handler(i, e):\n    time.sleep(60)\n", max_concurrency=1
    )
    jobs = [api.make_job(blocker["id"]) for _ in range(2)]
    queue = until(
        lambda: data_of(operator.get(SYSTEM))["queue"], lambda now: now["ready"] >= 1 and now["running"] >= 1
    )
    assert queue["oldest_due_at"] <= jobs[1]["created_at"]
    assert queue["oldest_due_seconds"] >= 0
    assert queue["oldest_due_at"] < later["scheduled_at"]
    for job in (*jobs, later):
        data_of(api.post(f"/jobs/{job['id']}/cancel"))


def test_nobody_else_sees_it(api: Api, make_key: MakeKey) -> None:
    bound = api.having(key=make_key(api.tenant, "platform-admin"), role="platform-admin")
    error_of(bound.get(SYSTEM), 403, "forbidden")
    error_of(api.get(SYSTEM), 403, "forbidden")
