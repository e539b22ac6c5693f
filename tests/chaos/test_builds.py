"""`kill -9` of every process that installs: nothing is left behind, and the version still becomes ready."""

import asyncio
import io
import socket
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from tests.chaos.cluster import Cluster, adopt_orphans, bury_orphans, descendants, name_of
from tests.contract.client import Json
from tests.integration.loops.registry import LocalRegistry, local_registry

SOURCE = "import lasting\ndef handler(input, env):\n    return lasting.WORD\n"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRegistry]:
    """A registry at the name of this machine, because the loopback of a sandbox is its own."""
    name = socket.gethostname()
    with local_registry(name, socket.gethostbyname(name)) as registry:
        registry.add_wheel("lasting", "1.0", "WORD = 'still here'\n")
        monkeypatch.setenv("RUNWRIGHT_PYTHON_INDEX", registry.index)
        yield registry


@pytest.fixture
async def cluster(registry: LocalRegistry) -> AsyncIterator[Cluster]:
    assert registry.port
    adopt_orphans()
    before = {process.pid for process in descendants()}
    one = Cluster(seed=1)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()
        left = [name_of(p) for p in descendants() if p.pid not in before]
        logs = one.logs()
        one.clean_up()
        adopt_orphans(adopt=False)
        bury_orphans()
        assert left == [], logs


async def test_a_version_is_built_though_its_builders_are_killed(
    cluster: Cluster, registry: LocalRegistry
) -> None:
    body = {"name": "w", "runtime": "python", "source_code": "def handler(input, env):\n    return 'old'\n"}
    worker = await _data(cluster, "POST", "/workers", json=body)
    path = f"/workers/{worker['id']}/versions/2"
    registry.free.add("/simple/pip/")  # what the server requests first, outside of any sandbox
    registry.gate.clear()
    await _data(
        cluster,
        "POST",
        f"/workers/{worker['id']}/deploy",
        content=_bundle(),
        kind="application/zip",
    )

    async def installing() -> bool:
        return "installing with" in (await _data(cluster, "GET", f"{path}/log"))["log"]

    await _until(installing)
    assert any("bwrap" in name_of(process) for process in descendants())
    executors = [member for member in cluster.members if member.roles == "executor"]
    for member in executors:
        await member.kill()

    async def gone() -> bool:
        bury_orphans()
        return not any("bwrap" in name or name == "uv" for name in map(name_of, descendants()))

    await _until(gone)
    assert (await _data(cluster, "GET", path))["status"] == "building"
    registry.gate.set()
    for member in executors:
        await member.start()

    async def ready() -> bool:
        return bool((await _data(cluster, "GET", path))["status"] == "ready")

    await _until(ready)
    job = await _data(cluster, "POST", "/jobs?wait=30", json={"worker_id": worker["id"]})
    assert job["output"] == "still here", job


def _bundle() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", SOURCE)
        archive.writestr("requirements.txt", "lasting==1.0\n")
    return packed.getvalue()


async def _data(
    cluster: Cluster,
    method: str,
    path: str,
    *,
    json: Json = None,
    content: bytes | None = None,
    kind: str = "application/json",
) -> Json:
    headers = {"content-type": kind} if content is not None else {}
    answer = await cluster.client.request(
        method, f"/v1/ava{path}", json=json, content=content, headers=headers
    )
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["data"]


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  nobody signals what another process does
            await asyncio.sleep(0.05)
