"""Which runtimes an installation has, on hosts with different extras."""

import msgspec
import pytest

from runwright.core.errors import InvalidError
from runwright.db.pool import Pool
from runwright.http.ava.workers.schemas import require_ready
from runwright.leases.store import ExecutorRecord, expire_lease, register_executor
from runwright.runtimes.host import Host, Isolation, RuntimeInfo
from runwright.runtimes.support import not_installed
from runwright.wiring.runtimes import RuntimeReporter

HERE = RuntimeInfo(name="python", ready=True, version="3.12.1", path="/usr/bin/python3", isolation="strict")
ABSENT = RuntimeInfo(name="nodejs", ready=False, reason=not_installed("nodejs"))


@pytest.fixture
def reporter(database: Pool) -> RuntimeReporter:
    host = Host(isolation=Isolation.STRICT, bwrap=None, user_namespace=False)
    return RuntimeReporter(
        database, msgspec.structs.replace(host, runtimes={"python": HERE, "nodejs": ABSENT})
    )


async def register(database: Pool, name: str, *runtimes: str) -> None:
    record = ExecutorRecord(
        id=name, host="other", pid=1, slots=1, isolation="standard", runtimes=["python", *runtimes]
    )
    await register_executor(database, record, lease_seconds=60)


async def test_a_runtime_that_only_an_executor_elsewhere_has_is_ready(
    database: Pool, reporter: RuntimeReporter
) -> None:
    assert await reporter.report() == {"python": HERE, "nodejs": ABSENT}
    await register(database, "exe_a", "nodejs", "nodejs@20")
    await register(database, "exe_b", "nodejs", "nodejs@24", "nodejs@9", "python@3.13")
    found = await reporter.report()
    assert found["python"] == HERE
    assert (found["nodejs"].ready, found["nodejs"].isolation, found["nodejs"].reason) == (
        True,
        "standard",
        None,
    )
    assert [one.runtime_version for one in found["nodejs"].versions] == ["9", "20", "24"]
    assert not any(one.preferred for one in found["nodejs"].versions)
    for name in ("exe_a", "exe_b"):
        await expire_lease(database, executor_id=name)
    assert await reporter.report() == {"python": HERE, "nodejs": ABSENT}


def test_a_reason_names_the_extra_and_the_setting() -> None:
    assert not_installed("deno") == "not installed: it comes with runwright[deno], or set deno_path"
    assert not_installed("wasm") == "not installed: it comes with runwright[wasm]"


def test_a_deploy_for_a_runtime_that_is_not_there_is_refused_by_its_field() -> None:
    require_ready(HERE)
    with pytest.raises(InvalidError) as refused:
        require_ready(ABSENT)
    assert refused.value.fields == {
        "runtime": [f"Is not available on this server: {not_installed('nodejs')}."]
    }
