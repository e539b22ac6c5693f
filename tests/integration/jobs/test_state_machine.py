"""Random lives of jobs never leave the transition table, and every end is final."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.core.errors import ConflictError
from runwright.core.job_state import TERMINAL, TRANSITIONS, JobStatus
from runwright.workers.model import Worker, WorkerChanges, WorkerStatus
from tests.integration.jobs.world import World

if TYPE_CHECKING:
    from runwright.core.ids import JobId
    from runwright.jobs.model import ClaimedAttempt

OPERATIONS: Final = (
    "submit",
    "submit_later",
    "claim",
    "complete",
    "fail",
    "fail_with_retry",
    "late_result",
    "hand_back",
    "cancel",
    "lose_executor",
    "pause",
    "activate",
    "forward",
)


class Life:
    """Plays operations and watches each job's state after every one."""

    def __init__(self, world: World, worker: Worker) -> None:
        self.world = world
        self.worker = worker
        self.held: list[ClaimedAttempt] = []
        self.gone: list[ClaimedAttempt] = []
        self.lost: dict[JobId, int] = {}
        """The fences of attempts that the reaper took for lost, and of whose jobs nobody has begun another."""
        self.known: dict[JobId, JobStatus] = {}

    async def play(self, operation: str, pick: int) -> None:
        await getattr(self, f"_{operation}")(pick)
        for job_id, before in list(self.known.items()):
            now = (await self.world.jobs.get(self.worker.tenant_id, job_id)).status
            # Two steps may lie between two looks (retry: running -> queued), never one off the table.
            assert now == before or now in TRANSITIONS[before], f"{operation}: {before} -> {now}"
            self.known[job_id] = now

    async def _submit(self, pick: int) -> None:
        await self._try_submit(later=False, priority=pick % 10 + 1)

    async def _submit_later(self, pick: int) -> None:
        await self._try_submit(later=True, priority=pick % 10 + 1)

    async def _try_submit(self, *, later: bool, priority: int) -> None:
        at = self.world.now + timedelta(seconds=5) if later else None
        try:
            job = await self.world.job(self.worker, scheduled_at=at, priority=priority)
        except ConflictError:
            return
        self.known[job.id] = job.status

    async def _claim(self, pick: int) -> None:
        claimed = await self.world.claim(capacity=pick % 3 + 1)
        self.held += claimed
        for attempt in claimed:
            self.lost.pop(attempt.job_id, None)

    async def _end(self, pick: int, status: JobStatus, retry_in: float | None = None) -> None:
        if self.held:
            job = self.held.pop(pick % len(self.held))
            await self.world.finish(self.world.end_of(job, status, retry_in=retry_in))
            self.gone.append(job)

    async def _complete(self, pick: int) -> None:
        await self._end(pick, JobStatus.COMPLETED)

    async def _fail(self, pick: int) -> None:
        await self._end(pick, JobStatus.FAILED)

    async def _fail_with_retry(self, pick: int) -> None:
        await self._end(pick, JobStatus.FAILED, retry_in=1.0)

    async def _late_result(self, pick: int) -> None:
        if self.gone:
            self.world.forward(0.001)  # the same end at the same time is one that is sent again
            late = self.gone[pick % len(self.gone)]
            (ended,) = await self.world.finish(self.world.end_of(late))
            if ended is not None:
                assert self.lost.pop(late.job_id, None) == late.fence, (
                    "only a lost attempt's end still counts"
                )
                assert ended is JobStatus.COMPLETED

    async def _hand_back(self, pick: int) -> None:
        if self.held:
            job = self.held.pop(pick % len(self.held))
            (status,) = await self.world.finish(self.world.hand_back(job))
            assert status in {JobStatus.QUEUED, JobStatus.CANCELLED}
            self.gone.append(job)

    async def _cancel(self, pick: int) -> None:
        if self.known:
            job_id = list(self.known)[pick % len(self.known)]
            try:
                await self.world.jobs.cancel(self.world.caller(self.worker.tenant_id), job_id)
            except ConflictError:
                assert self.known[job_id] in TERMINAL

    async def _lose_executor(self, _pick: int) -> None:
        await self.world.lose()
        await self.world.executor()
        self.gone += self.held
        self.lost |= {attempt.job_id: attempt.fence for attempt in self.held}
        self.held = []

    async def _pause(self, _pick: int) -> None:
        await self._set(WorkerStatus.PAUSED)

    async def _activate(self, _pick: int) -> None:
        await self._set(WorkerStatus.ACTIVE)

    async def _set(self, status: WorkerStatus) -> None:
        caller = self.world.caller(self.worker.tenant_id)
        await self.world.workers.change(caller, self.worker.id, WorkerChanges(status=status))

    async def _forward(self, pick: int) -> None:
        self.world.forward(pick)
        await self.world.promote()

    async def finish_everything(self) -> None:
        """Whatever happened before: every accepted job can still reach its end."""
        await self._activate(0)
        for job in self.held:
            await self.world.finish(self.world.end_of(job))
        self.world.forward(3600)
        await self.world.promote()
        for job in await self.world.claim():
            await self.world.finish(self.world.end_of(job))
        for job_id in self.known:
            assert (await self.world.jobs.get(self.worker.tenant_id, job_id)).status in TERMINAL


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plays=st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9)), min_size=5, max_size=40))
async def test_no_life_of_jobs_leaves_the_table(world: World, plays: Sequence[tuple[str, int]]) -> None:
    await world.db.execute(
        "TRUNCATE jobs, job_queue, job_results, job_count_deltas, job_counts, job_durations, job_attempts, events, executors"
    )
    await world.executor()
    life = Life(world, await world.worker(max_retries=2))
    for operation, pick in plays:
        await life.play(operation, pick)
    await life.finish_everything()
    await world.assert_whole()


def test_ends_are_final_and_every_state_can_reach_one() -> None:
    for status in TERMINAL:
        assert TRANSITIONS[status] == frozenset()
    for status in set(JobStatus) - TERMINAL:
        assert TERMINAL & TRANSITIONS[status]
