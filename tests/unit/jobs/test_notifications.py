"""Who is notified of what, in this process and in others, and what is merged."""

import asyncio
from datetime import UTC, datetime

import pytest

from runwright.core.ids import JobId
from runwright.core.job_state import JobStatus
from runwright.jobs.model import AttemptEnd
from runwright.jobs.notifications import FOLLOW_SECONDS, JobNotifications

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = AttemptEnd(
    tenant_id="ten_a",
    job_id=JobId("job_1"),
    fence=1,
    attempt=1,
    worker_version=1,
    status=JobStatus.COMPLETED,
    ended_at=NOON,
)


class Process:
    """The notifications of one process, and all that it sends and calls."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[str] = []
        self.ready: list[datetime | None] = []
        self.cancels: list[str] = []
        self.changes = 0
        self.sends = asyncio.Event()
        self.notifications = JobNotifications(origin="a", send=self.send, monotonic=lambda: self.now)
        self.notifications.on_ready(self.ready.append)
        self.notifications.on_cancel(self.cancels.append)
        self.notifications.on_changed(self.changed)

    def send(self, payload: str) -> None:
        self.sent.append(payload)
        self.sends.set()

    def changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def process() -> Process:
    """A process that no other one hears."""
    return Process()


async def test_ready_is_sent_at_once_and_what_follows_is_merged_into_one_more(process: Process) -> None:
    for _ in range(3):
        process.notifications.jobs_ready()
    assert process.sent == ["a ready"]
    process.sends.clear()
    await process.sends.wait()
    assert process.sent == ["a ready", "a ready"]
    process.notifications.stop()


async def test_ready_reaches_this_process_each_time_with_its_time(process: Process) -> None:
    process.notifications.jobs_ready()
    process.notifications.jobs_ready(NOON)
    assert process.ready == [None, NOON]
    assert process.changes == 2
    process.notifications.stop()


async def test_nothing_is_sent_after_a_stop(process: Process) -> None:
    process.notifications.jobs_ready()
    process.notifications.stop()
    process.notifications.stop()
    process.notifications.jobs_ready()  # begins anew, so no timer was left
    assert process.sent == ["a ready", "a ready"]
    process.notifications.stop()


async def test_a_cancel_goes_to_this_process_and_to_others(process: Process) -> None:
    process.notifications.cancel_requested("exe_1")
    assert (process.cancels, process.sent) == (["exe_1"], ["a cancel exe_1"])


async def test_an_end_wakes_every_wait_for_this_job_and_no_other(process: Process) -> None:
    with (
        process.notifications.watching("job_1") as one,
        process.notifications.watching("job_1") as two,
        process.notifications.watching("job_2") as other,
    ):
        assert process.notifications.job_ended("job_1", END) is True
        assert (one.end, two.end, other.end) == (END, END, None)
        assert (one.woken.is_set(), two.woken.is_set(), other.woken.is_set()) == (True, True, False)
    assert process.changes == 1
    assert process.notifications.job_ended("job_1", END) is False
    assert process.changes == 2


async def test_a_wait_that_is_over_leaves_the_others(process: Process) -> None:
    with process.notifications.watching("job_1") as stays:
        with process.notifications.watching("job_1") as leaves:
            pass
        process.notifications.jobs_ended(["job_0", "job_1"])
        assert (stays.woken.is_set(), leaves.woken.is_set()) == (True, False)
        assert stays.end is None


async def test_every_wait_ends_with_the_process(process: Process) -> None:
    with process.notifications.watching("job_1") as one, process.notifications.watching("job_2") as two:
        process.notifications.wake_all()
        assert one.woken.is_set()
        assert two.woken.is_set()


async def test_many_ends_are_announced_in_several_notifications(process: Process) -> None:
    ids = [f"job_{number}" for number in range(401)]
    process.notifications.announce_ended(ids)
    assert [payload.split(" ", 2)[:2] for payload in process.sent] == [["a", "ended"]] * 3
    told = [payload.split(" ")[2:] for payload in process.sent]
    assert [len(part) for part in told] == [200, 200, 1]
    assert [one for part in told for one in part] == ids
    process.notifications.announce_ended([])
    assert len(process.sent) == 3


async def test_what_another_process_sends_is_acted_upon(process: Process) -> None:
    with process.notifications.watching("job_1") as one, process.notifications.watching("job_2") as two:
        process.notifications.receive("b ready")
        assert process.ready == [None]
        process.notifications.receive("b cancel exe_1")
        assert process.cancels == ["exe_1"]
        process.notifications.receive("b logs job_1")
        assert (one.woken.is_set(), two.woken.is_set()) == (True, False)
        process.notifications.receive("b ended job_0 job_2")
        assert two.woken.is_set()
    assert process.changes == 2
    process.notifications.receive("b unknown job_1")
    assert process.sent == []


async def test_an_empty_notification_means_that_jobs_may_be_ready(process: Process) -> None:
    process.notifications.receive("")
    assert process.ready == [None]


async def test_what_this_process_sent_itself_is_ignored(process: Process) -> None:
    with process.notifications.watching("job_1") as watch:
        for payload in ("a ready", "a cancel exe_1", "a ended job_1", "a logs job_1", "a follow job_1"):
            process.notifications.receive(payload)
        assert not watch.woken.is_set()
    assert (process.ready, process.cancels, process.changes) == ([], [], 0)
    assert not process.notifications.followed("job_1")


async def test_log_lines_wake_this_process_and_are_announced_while_another_follows(process: Process) -> None:
    with process.notifications.watching("job_1") as watch:
        process.notifications.logs_written("job_1")
        assert watch.woken.is_set()
    assert process.sent == []
    process.notifications.receive("b follow job_1")
    process.notifications.logs_written("job_1")
    process.notifications.logs_written("job_2")
    assert process.sent == ["a logs job_1"]
    process.notifications.follow("job_3")
    assert process.sent[1:] == ["a follow job_3"]


async def test_a_job_is_followed_until_three_repetitions_are_missed(process: Process) -> None:
    process.notifications.receive("b follow job_1")
    process.now += 1
    process.notifications.receive("b follow job_2")
    process.now += 3 * FOLLOW_SECONDS - 1
    assert process.notifications.followed("job_1")
    assert not process.notifications.followed("job_3")
    process.now += 0.5
    assert not process.notifications.followed("job_1")
    assert process.notifications.followed("job_2")
    process.now += 1
    assert not process.notifications.followed("job_2")
