"""Every signal at every process in every state of a job: the outcome of each, in the table below.

A test is one signal at one process, with one job in each state; processes that hold no job get it together. Nothing waits for time to pass: a job is in its
state because it waits at the test's gate, or because the test holds its row.

    queued      ready, behind a running job of a worker that runs one at a time
    starting    claimed; its sandbox imports the worker's code
    running     its handler has begun
    finishing   its handler has returned; the statement that ends it waits for the row
    retry wait  its first attempt has failed; the second is due later
    cancelling  its handler runs; the cancel is stored

An outcome is the job's status and how many attempts began. All jobs may be retried once, the one in `retry wait`
twice, so that an attempt that is lost shows as another one.
"""

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import psutil
import pytest
import pytest_asyncio
from tests.chaos.cluster import HEADERS, Member, descendants, free_port

STATES: Final = ("queued", "starting", "running", "finishing", "retry wait", "cancelling")
BYSTANDERS: Final = "api scheduler router,deliverer"
WITHOUT_SANDBOX: Final = ("queued", "retry wait")
PATIENCE_SECONDS: Final = 120.0

UNDISTURBED: Final = {
    "queued": "completed, 1 attempt",
    "starting": "completed, 1 attempt",
    "running": "completed, 1 attempt",
    "finishing": "completed, 1 attempt",
    "retry wait": "completed, 2 attempts",
    "cancelling": "cancelled, 1 attempt",
}
"""What becomes of the jobs when nothing is killed."""

MATRIX: Final[dict[tuple[Signals, str], dict[str, str]]] = {
    # The API holds nothing of a job: what it accepted is in the database. Schedulers and routers take no part in
    # jobs that are queued already. So the signal goes to all three at once.
    (SIGTERM, BYSTANDERS): UNDISTURBED,
    (SIGKILL, BYSTANDERS): UNDISTURBED,
    (SIGSTOP, BYSTANDERS): UNDISTURBED,
    # A drain waits for running jobs, then hands the rest back.
    (SIGTERM, "executor"): UNDISTURBED,
    # The reaper hands on what a dead executor held. An ending that had reached the database counts.
    (SIGKILL, "executor"): UNDISTURBED
    | {"starting": "completed, 2 attempts", "running": "completed, 2 attempts"},
    # The same for one that is silent for longer than its lease. When it wakes up, its results are refused.
    (SIGSTOP, "executor"): UNDISTURBED
    | {"starting": "completed, 2 attempts", "running": "completed, 2 attempts"},
    # A sandbox that dies takes its attempt with it. In `finishing` it has already returned its result.
    (SIGTERM, "sandbox"): UNDISTURBED
    | {"starting": "completed, 2 attempts", "running": "completed, 2 attempts"},
    (SIGKILL, "sandbox"): UNDISTURBED
    | {"starting": "completed, 2 attempts", "running": "completed, 2 attempts"},
    (SIGSTOP, "sandbox"): UNDISTURBED,
    # The end of the database is waited out: endings are sent again. SIGTERM lets connections finish first.
    (SIGTERM, "postgres"): UNDISTURBED,
    (SIGKILL, "postgres"): UNDISTURBED,
    (SIGSTOP, "postgres"): UNDISTURBED,
}
"""SIGSTOP is followed by SIGCONT. Two states have no sandbox (`WITHOUT_SANDBOX`): nothing can be killed there."""

SOURCE: Final = """
import ctypes, signal, socket

def wait_at_gate(name):
    ctypes.CDLL(None).prctl(15, name.encode())  # PR_SET_NAME, of this thread
    with socket.create_connection(("localhost.", %(port)d)) as gate:
        gate.sendall(name.encode() + b"\\n")
        return gate.makefile().readline().strip()

signal.signal(signal.SIGTERM, signal.%(on_sigterm)s)
%(at_import)s

def handler(input, env):
    answer = wait_at_gate(input["name"]) if "name" in input else "go"
    if answer != "go":
        raise RuntimeError(answer or "the gate has gone")
    return "done"
"""

Record = asyncpg.Record
Json = Any


class Gate:
    """Where handlers wait: it knows who has come, and lets them through with an answer."""

    def __init__(self) -> None:
        self.come: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._changed = asyncio.Condition()
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def has_come(self, name: str) -> None:
        """Wait until a handler is at the gate."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.come[name] > 0)

    def let_through(self, name: str, answer: str = "go") -> None:
        """Let through who is at the gate, and those that come later."""
        if not self._answer(name).done():
            self._answer(name).set_result(answer)

    def close_again(self, name: str) -> None:
        """Keep those that come from now on."""
        del self._answers[name]

    def _answer(self, name: str) -> "asyncio.Future[str]":
        return self._answers.setdefault(name, asyncio.get_running_loop().create_future())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            name = (await reader.readline()).decode().strip()
            async with self._changed:
                self.come[name] += 1
                self._changed.notify_all()
            gone, answer = asyncio.ensure_future(reader.read()), self._answer(name)
            answer.add_done_callback(lambda _: gone.cancel())
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            if answer.done():
                writer.write(answer.result().encode() + b"\n")
        writer.close()


class World:
    """The processes of a cluster, each with one role, on an embedded PostgreSQL."""

    def __init__(self, folder: Path, gate: Gate) -> None:
        self.gate = gate
        self.data_dir = folder / "data"
        port = free_port()
        environment = {
            "RUNWRIGHT_LEASE_SECONDS": "4",
            "RUNWRIGHT_HEARTBEAT_SECONDS": "0.5",
            "RUNWRIGHT_DRAIN_SECONDS": "60",
            "RUNWRIGHT_CANCEL_GRACE_SECONDS": "60",
            "RUNWRIGHT_EXECUTOR_SLOTS": "8",
            "RUNWRIGHT_EGRESS_TRUSTED": f"localhost:{gate.port}",
        }
        self.members = {
            roles: Member(roles, data_dir=self.data_dir, port=port, environment=environment)
            for roles in ("api", "executor", "scheduler", "router,deliverer")
        }
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=PATIENCE_SECONDS
        )

    async def start(self) -> None:
        for member in self.members.values():
            await member.start()

    async def stop(self) -> list[int]:
        await self.client.aclose()
        return [await member.stop() for member in reversed(self.members.values()) if member.process]

    async def recover(self) -> None:
        """Continue every member that is stopped, and start every one that has ended."""
        for member in self.members.values():
            if member.process is not None and member.process.returncode is None:
                member.process.send_signal(SIGCONT)
            else:
                await member.start()
        await self.until("the API", self._is_ready)

    async def _is_ready(self) -> bool:
        try:
            return (await self.client.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def ask(self, method: str, path: str, body: Json = None) -> Json:
        answer = await self.client.request(method, f"/v1/ava{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def connect(self) -> "asyncpg.Connection[Record]":
        """Connect to the database, waiting until it is there."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    return await asyncpg.connect(
                        host=str(self.data_dir / "pg.socket"), user="runwright", database="runwright"
                    )
                await asyncio.sleep(0.02)

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Ask until it is so; only the tables and the kernel know."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logs = "\n".join(path.read_text()[-3000:] for path in self.data_dir.parent.glob("*.log"))
            pytest.fail(f"waited in vain for {what}\n{logs}")

    def postgres(self) -> list[psutil.Process]:
        """The postmaster and its children, the postmaster first."""
        pid = int((self.data_dir / "pg" / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        return [postmaster, *postmaster.children()]


class Jobs:
    """One job in each state."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mark = uuid4().hex[:8]
        self.ids: dict[str, str] = {}
        self._holder: asyncpg.Connection[Record] | None = None

    def name(self, state: str) -> str:
        """A job's name at the gate, and its process's."""
        return f"{state.split(maxsplit=1)[0][:6]}-{self.mark}"

    async def make(self) -> None:
        """Bring a job into each state; the one whose row is held comes last, for the others need the recorder."""
        gate = self.world.gate
        usual, twice = await self._worker("usual"), await self._worker("twice", retries=2)
        starting = await self._worker("starting", at_import=f"wait_at_gate({self.name('starting')!r})")
        stubborn = await self._worker("stubborn", on_sigterm="SIG_IGN")
        single = await self._worker("single", max_concurrency=1)
        await self._submit("before queued", single, {"name": self.name("before queued")})
        await gate.has_come(self.name("before queued"))
        await self._submit("queued", single, {})
        await self._submit("starting", starting, {})
        for state, worker in (("running", usual), ("finishing", usual), ("cancelling", stubborn)):
            await self._submit(state, worker, {"name": self.name(state)})
        await self._submit("retry wait", twice, {"name": self.name("retry wait")})
        for state in STATES[1:]:
            await gate.has_come(self.name(state))
        db = await self.world.connect()
        await self._fail_once(db)
        await self.world.ask("POST", f"/jobs/{self.ids['cancelling']}/cancel")
        await db.close()
        await self._begin_to_finish()

    async def release(self) -> None:
        """Let every job go on from where it is."""
        await self.let_all_through()
        db = await self.world.connect()
        await db.execute("UPDATE job_queue SET run_at = now() WHERE job_id = $1", self.ids["retry wait"])
        await db.close()

    async def let_all_through(self) -> None:
        """Release the row and the gate, so that no job holds an executor's slot for the next test."""
        if self._holder is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._holder.execute("COMMIT")
            self._holder.terminate()
            self._holder = None
        for state in (*STATES, "before queued"):
            self.world.gate.let_through(self.name(state))

    async def outcomes(self, states: tuple[str, ...]) -> dict[str, str]:
        """Wait for the ends; each comes with exactly one event."""
        ids = {self.ids[state]: state for state in states}
        found: dict[str, str] = {}

        async def all_ended() -> bool:
            db = await self.world.connect()
            try:
                rows = await db.fetch(
                    "SELECT r.job_id, r.status, r.attempt, (SELECT count(*) FROM events e WHERE e.subject_id = r.job_id"
                    " AND e.type IN ('job.completed', 'job.failed', 'job.cancelled')) AS events"
                    " FROM job_results r WHERE r.job_id = ANY ($1)",
                    [*ids],
                )
            finally:
                await db.close()
            assert {row["events"] for row in rows} <= {1}
            for row in rows:
                attempts = f"{row['attempt']} attempt{'s' if row['attempt'] > 1 else ''}"
                found[ids[row["job_id"]]] = f"{row['status']}, {attempts}"
            return len(rows) == len(ids)

        await self.world.until(f"the ends of {ids}", all_ended)
        return found

    async def _worker(
        self,
        name: str,
        *,
        at_import: str = "",
        on_sigterm: str = "SIG_DFL",
        retries: int = 1,
        max_concurrency: int | None = None,
    ) -> str:
        source = SOURCE % {"port": self.world.gate.port, "at_import": at_import, "on_sigterm": on_sigterm}
        body = {
            "name": f"{name}-{self.mark}",
            "runtime": "python",
            "source_code": source,
            "max_retries": retries,
        }
        more = {"network": {"allow": ["localhost"]}, "max_concurrency": max_concurrency}
        made = await self.world.ask("POST", "/workers", body | more)
        return str(made["id"])

    async def _submit(self, state: str, worker_id: str, value: Json) -> None:
        body = {"worker_id": worker_id, "input": value}
        self.ids[state] = (await self.world.ask("POST", "/jobs", body))["id"]

    async def _fail_once(self, db: "asyncpg.Connection[Record]") -> None:
        name, job_id = self.name("retry wait"), self.ids["retry wait"]
        self.world.gate.let_through(name, "fail")

        async def waits() -> bool:
            # Far away, so that it is still waiting when the signal comes.
            moved = await db.execute(
                "UPDATE job_queue SET run_at = now() + interval '1 day' WHERE job_id = $1 AND state = 'waiting'",
                job_id,
            )
            return moved == "UPDATE 1"

        await self.world.until("the first failure", waits)
        self.world.gate.close_again(name)

    async def _begin_to_finish(self) -> None:
        holder = self._holder = await self.world.connect()
        await holder.execute("BEGIN")
        await holder.execute("SELECT FROM job_queue WHERE job_id = $1 FOR UPDATE", self.ids["finishing"])
        self.world.gate.let_through(self.name("finishing"))
        pid = await holder.fetchval("SELECT pg_backend_pid()")

        async def is_blocked() -> bool:
            query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
            return bool(await holder.fetchval(query, pid))

        await self.world.until("the statement that ends the job", is_blocked)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    folder = Path(f"/tmp/runwright-matrix-{uuid4().hex[:12]}")
    folder.mkdir(mode=0o711)
    folder.chmod(0o711)
    gate = Gate()
    async with gate.open():
        made = World(folder, gate)
        try:
            await made.start()
            yield made
        finally:
            statuses = await made.stop()
            _remove(folder)
    assert statuses == [0] * len(made.members)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def sandboxes(names: set[str]) -> list[psutil.Process]:
    """The processes of these jobs, whose handlers have named their thread."""
    found = []
    for process in descendants():
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            threads = (Path(f"/proc/{process.pid}/task/{thread.id}/comm") for thread in process.threads())
            if names & {path.read_text().strip() for path in threads}:
                found.append(process)
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def jobs(world: World) -> AsyncIterator[Jobs]:
    made = Jobs(world)
    try:
        await made.make()
        yield made
    finally:
        await made.let_all_through()
        await world.recover()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "target"), MATRIX, ids=[f"{number.name}-{target}" for number, target in MATRIX]
)
async def test_a_signal_at_a_process(world: World, jobs: Jobs, number: Signals, target: str) -> None:
    states: tuple[str, ...] = STATES
    if target == "sandbox":
        states = tuple(state for state in STATES if state not in WITHOUT_SANDBOX)
        await _signal_sandboxes(world, jobs, number, states)
    elif target == "postgres":
        await _signal_postgres(world, jobs, number)
    else:
        await _signal_members(world, jobs, number, [world.members[roles] for roles in target.split()])
    assert await jobs.outcomes(states) == {state: MATRIX[number, target][state] for state in states}


async def _signal_members(world: World, jobs: Jobs, number: Signals, members: Sequence[Member]) -> None:
    for member in members:
        os.kill(member.pid, number)
    if number is SIGSTOP:
        if world.members["executor"] in members:
            await _until_taken_away(world, jobs)
        await jobs.release()
        for member in members:
            os.kill(member.pid, SIGCONT)
        return
    if number is SIGTERM:
        await jobs.release()
    for member in members:
        assert member.process is not None
        status = await asyncio.wait_for(member.process.wait(), PATIENCE_SECONDS)
        assert status == (0 if number is SIGTERM else -SIGKILL)
    if number is SIGKILL:
        await jobs.release()
    await asyncio.gather(*(member.start() for member in members))


async def _until_taken_away(world: World, jobs: Jobs) -> None:
    """Wait until the reaper has given the running job of a silent executor back to the queue."""
    db = await world.connect()

    async def taken() -> bool:
        query = "SELECT executor_id IS NULL FROM job_queue WHERE job_id = $1"
        return bool(await db.fetchval(query, jobs.ids["running"]))

    await world.until("the reaper", taken)
    await db.close()


async def _signal_sandboxes(world: World, jobs: Jobs, number: Signals, states: tuple[str, ...]) -> None:
    names = {jobs.name(state) for state in states}
    found = sandboxes(names)
    assert len(found) == len(names)
    for process in found:
        process.send_signal(number)
    if number is SIGSTOP:

        async def all_stopped() -> bool:
            return all(process.status() == psutil.STATUS_STOPPED for process in found)

        await world.until("the stop", all_stopped)
    await jobs.release()
    if number is SIGSTOP:
        for process in found:
            process.send_signal(SIGCONT)


async def _signal_postgres(world: World, jobs: Jobs, number: Signals) -> None:
    processes = world.postgres()
    for process in processes if number is SIGSTOP else processes[:1]:
        process.send_signal(number)
    if number is SIGSTOP:
        for process in reversed(processes):
            process.send_signal(SIGCONT)
    if number is SIGTERM:
        # It waits for connections to end by themselves, and ours do not; an operator would insist.
        os.kill(processes[0].pid, SIGINT)
    await jobs.release()
