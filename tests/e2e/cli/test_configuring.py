"""Schedules, webhooks, events and figures by the command line."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.e2e.cli.conftest import Home
from tests.waiting import until

from runwright import Runwright
from runwright.http.address_record import recorded_address

HELLO = "def handler(input, env):\n    return input\n"


@pytest.fixture
def worker(rw: Runwright) -> str:
    """Return the name of a worker."""
    if all(one.name != "hello" for one in rw.workers.list()):
        rw.workers.create("hello", "python", source_code=HELLO)
    return "hello"


def test_a_piped_key_comes_before_that_of_the_data_directory(home: Home, server: Server, key: str) -> None:
    (home.folder / "platform-key").write_text(PLATFORM_KEY)
    own = {"RUNWRIGHT_URL": "", "RUNWRIGHT_KEY": "", "RUNWRIGHT_DATA_DIR": str(home.folder)}
    login = f"runwright login {server.url} --profile a"
    with recorded_address(home.folder, server.url):
        assert "platform-admin" in home.ok(login, **own)
        assert home.run(login, input="rwk_wrong", **own).returncode == 4
        assert "platform-admin" not in home.ok(login, input=key, **own)
    written = home.run("runwright secrets set TOKEN --profile a", input="x", **own)
    tenant = json.loads(home.ok("runwright whoami --profile a -o json", **own))["tenant"]
    assert written.stderr.startswith(f"→ a/{tenant}  {server.url}"), "a write says which tenant it changes"


def test_a_schedule_from_its_creation_to_its_end(home: Home, rw: Runwright, worker: str) -> None:
    zone = "--timezone Europe/Berlin --catch-up last --overlap skip"
    made = json.loads(
        home.ok(f"runwright schedules create {worker} '0 7 * * *' --name daily {zone} -i n=1 -o json")
    )
    assert (made["cron"], made["input"], made["catch_up"], made["overlap"]) == (
        "0 7 * * *",
        {"n": 1},
        "last",
        "skip",
    )
    assert re.search(r"daily +hello +0 7 \* \* \* +Europe/Berlin +in ", home.ok("runwright schedules list"))
    firings = home.ok("runwright schedules next daily -n 2").splitlines()
    assert [line[11:16] for line in firings] == ["07:00", "07:00"]
    job = json.loads(home.ok("runwright schedules run daily -o json"))
    assert rw.jobs.wait(job["id"], 60).output == {"n": 1}
    assert job["id"] in home.ok(f"runwright schedules ticks {made['id'][-8:]}")
    home.ok("runwright schedules pause daily")
    assert "paused" in home.ok("runwright schedules list")
    home.ok("runwright schedules resume daily")
    assert "3 firings" in home.ok("runwright schedules backfill daily --from 3d --dry-run")
    assert "3 fired" in home.ok("runwright schedules backfill daily --from 3d -y")
    assert "Nothing was missed" in home.ok("runwright schedules backfill daily --from 3d -y")
    refused = home.run("runwright schedules delete daily")
    assert refused.returncode == 2, "without a terminal it asks for -y"
    home.ok("runwright schedules delete daily -y")
    assert home.run("runwright schedules get daily").returncode == 5


def test_two_schedules_of_a_name_are_told_apart_by_their_ids(home: Home, worker: str) -> None:
    ids = [
        json.loads(home.ok(f"runwright schedules create {worker} '0 8 * * *' --name twice -o json"))["id"]
        for _ in "ab"
    ]
    done = home.run("runwright schedules get twice")
    assert done.returncode == 2
    assert all(one in done.stderr for one in ids)
    for one in ids:
        home.ok(f"runwright schedules delete {one} -y")


def test_a_bad_expression_is_refused_with_its_field(home: Home, worker: str) -> None:
    done = home.run(f"runwright schedules create {worker} often")
    assert done.returncode == 2
    assert "cron" in done.stderr


def test_webhooks_are_made_listed_and_deleted(home: Home) -> None:
    url = "https://hooks.example.com/made"
    out = home.ok(f"runwright webhooks create {url} -e job.failed -e custom.*")
    assert "secret: " in out
    listed = json.loads(home.ok("runwright webhooks list -o json"))
    assert [one["events"] for one in listed if one["url"] == url] == [["ava.job.failed", "custom.*"]]
    assert "secret" not in json.dumps(listed)
    assert json.loads(home.ok(f"runwright webhooks deliveries {url} -o json")) == []
    unknown = home.run(f"runwright webhooks redeliver {url} dlv_01jz8y3v5n3q6r8s9t0v1w2x3y")
    assert unknown.returncode == 5
    home.ok(f"runwright webhooks delete {url} -y")
    assert home.run(f"runwright webhooks deliveries {url}").returncode == 5


def test_events_are_published_and_listed(home: Home) -> None:
    made = json.loads(home.ok("runwright events publish custom.report.done -i rows=12 -o json"))
    listed = json.loads(home.ok("runwright events list --type 'custom.*' --since 1h -o json"))
    assert made["id"] in {one["id"] for one in listed}
    refused = home.run("runwright events publish job.done")
    assert refused.returncode == 2
    assert "type" in refused.stderr


def slots_in_use(operator: Runwright) -> str:
    """Return what `top` prints about the server's only executor."""
    [executor] = operator.system().executors
    if not executor["live"]:
        return "its heartbeat is late"
    return f"executors 1   slots {executor['running']}/{executor['slots']}"


def test_figures_and_a_view_are_shown(home: Home, rw: Runwright, worker: str, server: Server) -> None:
    rw.jobs.run(worker, {}, wait=60)
    (row,) = (one for one in json.loads(home.ok("runwright stats -o json")) if one["worker_name"] == worker)
    assert (row["total"] > 0, row["failed"], row["queued"]) == (True, 0, 0)
    assert "1 more worker" not in home.run("runwright stats").stderr
    rw.jobs.run(rw.workers.create("another", "python", source_code=HELLO).id, {}, wait=60)
    assert "and 1 more worker" in home.run("runwright stats --limit 1 --sort p95").stderr
    assert "queued 0" in home.ok("runwright top --once")
    far = datetime.now(UTC) + timedelta(days=30)
    rw.jobs.submit(worker, {}, scheduled_at=far)
    rw.jobs.submit_batch("another", [{}] * 2, scheduled_at=far)
    view = home.ok("runwright top --once")
    assert re.search(rf"queued 3 .*\n.*\n.*\nanother +2 +0\n{worker} +1 +0", view), view
    assert "executors" not in home.ok("runwright top --once")
    operator = {"RUNWRIGHT_URL": "", "RUNWRIGHT_KEY": "", "XDG_CONFIG_HOME": str(home.folder / "operator")}
    login = f"runwright login {server.url} --tenant ten_top --with-key"
    home.ok(login, input=PLATFORM_KEY, **operator)
    with Runwright(
        server.url, PLATFORM_KEY, tenant="ten_top", user="usr_top", role="platform-admin"
    ) as rows:  # a row is as old as the last heartbeat, so both are read until they are of the same one
        until(
            lambda: (slots_in_use(rows), home.ok("runwright top --once", **operator)),
            lambda both: both[0] in both[1],
        )
    assert home.run("runwright top").returncode == 2, "it needs a terminal"
    assert home.run("runwright system").returncode == 4, "it is for the operator"
