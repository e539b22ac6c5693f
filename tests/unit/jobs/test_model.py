"""An attempt becomes one end: what is stored, and when the next attempt is due."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.jobs.model import CHUNK_BYTES, AttemptEnd, ClaimedAttempt, Job, JobError
from runwright.runtimes.model import AttemptOutcome, OutcomeStatus, OutputLine

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=90)


def claimed(*, retries_left: int = 0, attempt: int = 1, fence: int = 3) -> ClaimedAttempt:
    return ClaimedAttempt(
        tenant_id="ten_a",
        job_id=JobId("job_1"),
        worker_id=WorkerId("wkr_1"),
        worker_version=4,
        worker_revision=5,
        attempt=attempt,
        retries_left=retries_left,
        fence=fence,
        input=b"{}",
        awaited=False,
    )


def line(text: str) -> OutputLine:
    return OutputLine(NOON, "info", text)


def test_a_chunk_of_log_lines_is_complete_once_it_is_large() -> None:
    attempt, half = claimed(), "a" * (CHUNK_BYTES // 2)
    chunks = [attempt.add_line(line(half)) for _ in range(5)]
    assert [chunk and (chunk.first_seq % 1000, chunk.last_seq % 1000) for chunk in chunks] == [
        None,
        (1, 2),
        None,
        (3, 4),
        None,
    ]
    rest = attempt.take_log()
    assert rest is not None
    assert rest.last_seq % 1000 == 5


def test_log_lines_are_numbered_by_fence_and_in_order() -> None:
    attempt = claimed()
    assert attempt.take_log() is None
    assert [attempt.add_line(line(text)) for text in "ab"] == [None, None]
    first = attempt.take_log()
    assert attempt.take_log() is None
    assert attempt.add_line(line("c")) is None
    second = attempt.end(AttemptOutcome(status=OutcomeStatus.COMPLETED), now=NOON).log
    assert first is not None
    assert second is not None
    assert (first.first_seq, first.last_seq) == (3_000_001, 3_000_002)
    assert (second.first_seq, second.last_seq) == (3_000_003, 3_000_003)
    assert [row[2] for row in msgspec.json.decode(first.lines)] == ["a", "b"]
    assert [row[2] for row in msgspec.json.decode(second.lines)] == ["c"]
    assert (first.tenant_id, first.job_id, first.fence, first.attempt) == ("ten_a", "job_1", 3, 1)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (OutcomeStatus.COMPLETED, JobStatus.COMPLETED),
        (OutcomeStatus.FAILED, JobStatus.FAILED),
        (OutcomeStatus.CANCELLED, JobStatus.CANCELLED),
        (OutcomeStatus.UNSTARTED, JobStatus.QUEUED),
    ],
)
def test_an_outcome_becomes_a_status(outcome: OutcomeStatus, status: JobStatus) -> None:
    end = claimed(retries_left=1).end(AttemptOutcome(status=outcome, output=b"1"), now=NOON)
    assert (end.tenant_id, end.job_id, end.fence, end.attempt) == ("ten_a", "job_1", 3, 1)
    assert (end.worker_version, end.status, end.output) == (4, status, b"1")
    assert (end.error is not None) == (outcome in {OutcomeStatus.FAILED, OutcomeStatus.CANCELLED})
    assert (end.retry_at is not None) == (outcome is OutcomeStatus.FAILED)


def test_the_error_is_that_of_the_outcome_and_else_the_handlers() -> None:
    outcome = AttemptOutcome(
        status=OutcomeStatus.FAILED, error_code="timeout", error_message="Too slow.", error_stack="at x"
    )
    given, unnamed = (
        claimed().end(one, now=NOON).error
        for one in (outcome, AttemptOutcome(status=OutcomeStatus.FAILED, error_message="No."))
    )
    assert given is not None
    assert unnamed is not None
    assert msgspec.json.decode(given, type=JobError) == JobError(ErrorCode.TIMEOUT, "Too slow.", "at x")
    assert msgspec.json.decode(unnamed, type=JobError).code is ErrorCode.HANDLER_ERROR


@pytest.mark.parametrize(
    ("code", "retries_left", "shortest", "longest"),
    [
        (ErrorCode.HANDLER_ERROR, 1, 3, 4),
        (ErrorCode.TIMEOUT, 5, 3, 4),
        (ErrorCode.EXECUTOR_LOST, 1, 0, 0),
        (ErrorCode.HANDLER_ERROR, 0, None, None),
        (ErrorCode.EXECUTOR_LOST, 0, None, None),
        (ErrorCode.MISSING_SECRET, 5, None, None),
        (ErrorCode.CANCELLED, 5, None, None),
    ],
)
def test_a_failure_is_tried_again_after_its_back_off_where_attempts_are_left(
    code: ErrorCode, retries_left: int, shortest: int | None, longest: int | None
) -> None:
    attempt = claimed(retries_left=retries_left, attempt=3)
    outcome = AttemptOutcome(status=OutcomeStatus.FAILED, error_code=code, ended_at=LATER)
    retry_at = attempt.end(outcome, now=NOON).retry_at
    if shortest is None or longest is None:
        assert retry_at is None
    else:
        assert retry_at is not None
        assert timedelta(seconds=shortest) <= retry_at - LATER <= timedelta(seconds=longest)


def test_times_are_those_of_the_outcome_and_else_what_is_known() -> None:
    attempt = claimed()
    unknown = attempt.end(AttemptOutcome(status=OutcomeStatus.COMPLETED), now=LATER)
    assert (unknown.started_at, unknown.ended_at, unknown.run_seconds) == (None, LATER, None)
    attempt.started_at = NOON
    noted = attempt.end(AttemptOutcome(status=OutcomeStatus.COMPLETED), now=LATER)
    assert (noted.started_at, noted.ended_at, noted.run_seconds) == (NOON, LATER, 90.0)
    started, ended = NOON + timedelta(seconds=1), NOON + timedelta(seconds=2.25)
    outcome = AttemptOutcome(status=OutcomeStatus.COMPLETED, started_at=started, ended_at=ended)
    given = attempt.end(outcome, now=LATER)
    assert (given.started_at, given.ended_at, given.run_seconds) == (started, ended, 1.25)


def ended(**values: object) -> AttemptEnd:
    end = AttemptEnd(
        tenant_id="ten_a",
        job_id=JobId("job_1"),
        fence=1,
        attempt=2,
        worker_version=7,
        status=JobStatus.COMPLETED,
        ended_at=LATER,
    )
    return msgspec.structs.replace(end, **values)


def test_a_job_is_shown_as_its_end_leaves_it() -> None:
    job = Job(
        id=JobId("job_1"),
        worker_id="wkr_1",
        tenant_id="ten_a",
        status=JobStatus.RUNNING,
        trigger=Trigger.MANUAL,
        priority=5,
        input=msgspec.Raw(b"{}"),
        triggered_by="usr_1",
        created_at=NOON,
        worker_version=1,
        attempt=1,
        max_retries=3,
        scheduled_at=None,
        retry_of=None,
        schedule_id=None,
    )
    bare = ended().applied_to(job)
    assert (bare.status, bare.attempt, bare.worker_version) == (JobStatus.COMPLETED, 2, 7)
    assert (bare.started_at, bare.completed_at, bare.duration_ms) == (None, LATER, None)
    assert (bytes(bare.output or b""), bare.error) == (b"null", None)
    error = msgspec.json.encode(JobError(ErrorCode.TIMEOUT, "Too slow."))
    full = ended(started_at=NOON, output=b"[1]", error=error).applied_to(job)
    assert (full.started_at, full.duration_ms, bytes(full.output or b"")) == (NOON, 90_000, b"[1]")
    assert full.error == JobError(ErrorCode.TIMEOUT, "Too slow.")
    assert (full.created_at, full.priority, full.max_retries) == (NOON, 5, 3)
