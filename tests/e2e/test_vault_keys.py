"""A key is replaced by another while two servers run jobs, and none of them fails for it."""

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.chaos.cluster import HEADERS, Member, free_port
from tests.integration.cli.test_commands import Run, run

from runwright.db.pool import Pool
from runwright.secrets.keyring import new_key_text, parse_keys

__all__ = ["run"]
OLD, NEW = new_key_text(), new_key_text()
OLD_ID, NEW_ID = (parse_keys(key, "x").primary for key in (OLD, NEW))
SOURCE: Final = (
    "import hashlib\ndef handler(input, env):\n"
    "    return {name: hashlib.sha256(env[name].encode()).hexdigest() for name in ('A', 'B')}\n"
)
BOTH: Final = f"{NEW},{OLD}"
TOLD: Final = 200


class Site:
    """Two whole servers on one database."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.database_url = database_url
        self.ports = [free_port(), free_port()]
        self.members = [
            Member(
                "api,executor",
                data_dir=folder / str(port),
                port=port,
                database_url=database_url,
                environment={"RUNWRIGHT_VAULT_KEY": OLD},
            )
            for port in self.ports
        ]
        self.values: dict[str, str] = {}
        self.worker = ""
        self.done = 0

    async def start(self, member: Member, keys: str) -> None:
        member.environment["RUNWRIGHT_VAULT_KEY"] = keys
        await member.start()

    async def restart(self, index: int, keys: str) -> None:
        assert await self.members[index].stop() == 0
        await self.start(self.members[index], keys)

    async def call(self, index: int, method: str, path: str, body: object = None) -> httpx.Response:
        url = f"http://127.0.0.1:{self.ports[index]}/v1/ava{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=70) as client:
            return await client.request(method, url, json=body, headers=HEADERS)

    async def put(self, index: int, name: str, value: str) -> None:
        response = await self.call(index, "PUT", f"/secrets/{name}", {"value": value})
        assert response.status_code in {200, 201}, response.text
        self.values[name] = value

    async def job(self, index: int) -> None:
        """Run a job; whichever server takes it, it must get both values."""
        response = await self.call(index, "POST", "/jobs?wait=60", {"worker_id": self.worker})
        assert response.status_code == TOLD + 1, response.text
        ended = response.json()["data"]
        assert ended["status"] == "completed", ended
        digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in self.values.items()}
        assert ended["output"] == digests
        self.done += 1

    async def jobs(self, index: int) -> None:
        await asyncio.gather(*(self.job(index) for _ in range(6)))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="runwright-vault-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def site(folder: Path, database_url: str) -> AsyncIterator[Site]:
    site = Site(folder, database_url)
    yield site
    for member in site.members:
        with contextlib.suppress(AssertionError):
            await member.stop()


async def keys_in_use(database: Pool) -> set[str]:
    return {row[0] for row in await database.fetch("SELECT DISTINCT key_id FROM secrets")}


@pytest.mark.timeout(600)
async def test_a_key_is_replaced_while_jobs_run(site: Site, database: Pool, run: Run) -> None:
    first, second = site.members
    await site.start(first, OLD)
    await site.start(second, OLD)
    await site.put(0, "A", "the value of a")
    await site.put(1, "B", "the value of b")
    body = {"name": "w", "runtime": "python", "source_code": SOURCE, "secrets": ["A", "B"]}
    site.worker = (await site.call(0, "POST", "/workers", body)).json()["data"]["id"]
    await site.jobs(0)

    await site.restart(1, BOTH)  # the first one cannot open what the new key seals
    await site.put(1, "B", "another value of b")
    assert await keys_in_use(database) == {OLD_ID}
    await site.jobs(0)
    await site.jobs(1)
    told = ("--database-url", site.database_url, "--data-dir", "/nonexistent")
    refused = await asyncio.to_thread(run, "vault", "rotate", *told, RUNWRIGHT_VAULT_KEY=BOTH)
    assert refused.returncode == 1
    assert NEW_ID in refused.stderr
    assert f"pid {first.pid}" in refused.stderr
    assert f"pid {second.pid}" not in refused.stderr

    await site.restart(0, BOTH)
    await site.put(0, "A", "another value of a")
    assert await keys_in_use(database) == {OLD_ID, NEW_ID}
    rotated, *_ = await asyncio.gather(
        asyncio.to_thread(run, "vault", "rotate", *told, RUNWRIGHT_VAULT_KEY=BOTH), site.jobs(0), site.jobs(1)
    )
    assert (rotated.returncode, rotated.stdout) == (0, "re-encrypted: 1\n"), rotated.stderr
    assert await keys_in_use(database) == {NEW_ID}

    for index in (0, 1):
        await site.restart(index, NEW)
        await site.jobs(index)
    assert site.done == 42
    lacking = await asyncio.to_thread(run, "serve", "--port", "0", *told, RUNWRIGHT_VAULT_KEY=OLD)
    assert lacking.returncode == 1
    assert NEW_ID in lacking.stderr
    assert "Traceback" not in lacking.stderr


@pytest.mark.timeout(400)
async def test_a_lost_key_is_told_by_the_doctor_and_its_secrets_can_be_given_up(site: Site, run: Run) -> None:
    await site.start(site.members[0], OLD)
    await site.put(0, "A", "the value of a")
    await site.members[0].stop()
    told = ("--database-url", site.database_url, "--data-dir", str(site.members[0].data_dir))
    doctor = await asyncio.to_thread(run, "doctor", *told, RUNWRIGHT_VAULT_KEY=NEW)
    assert f"BAD  vault: 1 secrets are encrypted with the key {OLD_ID}" in doctor.stdout
    assert doctor.returncode == 1
    for arguments in (("serve", "--port", "0"), ("vault", "status"), ("vault", "rotate")):
        done = await asyncio.to_thread(run, *arguments, *told)
        assert done.returncode == 1, done
        assert OLD_ID in done.stderr
        assert "no vault key" in done.stderr
    held = await asyncio.to_thread(run, "vault", "discard", OLD_ID, *told, RUNWRIGHT_VAULT_KEY=OLD)
    assert held.returncode == 1
    assert "not lost" in held.stderr
    gone = await asyncio.to_thread(run, "vault", "discard", OLD_ID, *told, RUNWRIGHT_VAULT_KEY=NEW)
    assert (gone.returncode, gone.stdout) == (0, "deleted A of ten_chaos\n")
    status = await asyncio.to_thread(run, "vault", "status", *told, RUNWRIGHT_VAULT_KEY=NEW)
    assert (status.returncode, status.stdout) == (0, f"key {NEW_ID} (0 secrets)\n")
    await site.start(site.members[0], NEW)


def test_a_fresh_key_is_printed_alone(run: Run) -> None:
    done = run("vault", "new-key")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(parse_keys(done.stdout, "x").ids) == 1
