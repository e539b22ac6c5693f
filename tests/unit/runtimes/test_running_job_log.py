"""What a job writes at once is stored in order, within its limits, and in short steps of the event loop."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, OutputLine, WorkerCode
from runwright.runtimes.pool.job_log import LINES_AT_ONCE
from runwright.runtimes.pool.running_job import RunningJob
from runwright.runtimes.pool.text_threads import TextThreads
from runwright.runtimes.pool.unfinished_lines import Pace, settled
from runwright.runtimes.protocol import LOG_LINES

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CODE = WorkerCode(
    key="k",
    tenant_id="ten_a",
    worker_id="wkr_a",
    version=1,
    runtime="python",
    entrypoint="main.py",
    source=b"",
    memory_mb=64,
    network="none",
)


@pytest.fixture
def threads() -> Iterator[TextThreads]:
    one = TextThreads()
    yield one
    one.close()


class Written:
    """A job, and what was stored of it."""

    def __init__(self, threads: TextThreads, secrets: dict[str, str]) -> None:
        self.lines: list[OutputLine] = []
        self.ended = asyncio.Event()
        assignment = Assignment(
            id=1,
            job_id="job_a",
            attempt=1,
            code=CODE,
            input=b"{}",
            env={},
            secrets=secrets,
            timeout_seconds=1,
        )
        self.job = RunningJob(assignment, lambda _, line: self.lines.append(line), threads)
        self.job.started_at = NOW

    async def most_in_a_turn(self) -> int:
        """End the job, and return how many lines were stored in one turn of the loop at most."""
        outcome = AttemptOutcome(status=OutcomeStatus.COMPLETED, output=b"1", ended_at=NOW)
        self.job.finish(outcome, lambda *_: self.ended.set())
        most = len(self.lines)
        async with asyncio.timeout(60):
            while not self.ended.is_set():
                before = len(self.lines)
                await asyncio.sleep(0)
                most = max(most, len(self.lines) - before)
        return most

    @property
    def texts(self) -> list[str]:
        return [line.msg for line in self.lines]


@pytest.mark.parametrize("secrets", [{}, {"S": "a secret of the test"}], ids=["plain", "masked"])
async def test_a_frame_of_many_lines_is_stored_in_steps_and_before_what_follows(
    threads: TextThreads, secrets: dict[str, str]
) -> None:
    written = Written(threads, secrets)
    many = 5 * LINES_AT_ONCE + 7
    written.job.write(NOW, "info", "\n".join(map(str, range(many))).encode())
    written.job.write(NOW, "warn", b"after\nthat")
    assert written.job.write_record(NOW, "error", b'["and a record",{"a":1}]') is None
    assert await written.most_in_a_turn() <= LINES_AT_ONCE + 10
    assert written.texts[: many + 3] == [*map(str, range(many)), "after", "that", "and a record"]
    assert [line.level for line in written.lines[many : many + 3]] == ["warn", "warn", "error"]
    assert written.texts[-1].startswith("Handler completed")


@pytest.mark.parametrize("secrets", [{}, {"S": "a secret of the test"}], ids=["plain", "masked"])
async def test_lines_above_the_limit_are_counted(threads: TextThreads, secrets: dict[str, str]) -> None:
    written = Written(threads, secrets)
    for _ in range(3):
        written.job.write(NOW, "info", b"\n" * (LOG_LINES - 1))
    assert await written.most_in_a_turn() <= LINES_AT_ONCE + 10
    assert written.texts.count("") == LOG_LINES
    assert f"dropped {2 * LOG_LINES} lines" in written.texts


async def test_a_record_with_a_message_of_many_lines_keeps_the_first_ones(threads: TextThreads) -> None:
    written = Written(threads, {})
    message = "\n".join(map(str, range(3 * LINES_AT_ONCE)))
    assert written.job.write_record(NOW, "info", msgspec.json.encode([message, {"a": 1}])) is None
    assert await written.most_in_a_turn() <= LINES_AT_ONCE + 10
    assert written.texts[:LINES_AT_ONCE] == [str(n) for n in range(LINES_AT_ONCE)]
    assert f"dropped {2 * LINES_AT_ONCE} lines" in written.texts


async def test_however_many_frames_of_lines_come_in_a_turn_few_are_stored_in_it(threads: TextThreads) -> None:
    written = Written(threads, {})
    record = msgspec.json.encode(["\n" * (LINES_AT_ONCE - 1), {}])
    for _ in range(20):
        written.job.write(NOW, "info", b"\n" * (LINES_AT_ONCE - 1))
        assert written.job.write_record(NOW, "info", record) is None
    assert len(written.lines) <= 2 * LINES_AT_ONCE
    assert await written.most_in_a_turn() <= 2 * LINES_AT_ONCE + 10
    assert written.texts.count("") == LOG_LINES
    assert f"dropped {40 * LINES_AT_ONCE - LOG_LINES} lines" in written.texts


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unfinished", "whole"])
async def test_a_progress_bar_of_many_states_is_handled_in_milliseconds(
    threads: TextThreads, end: bytes
) -> None:
    written = Written(threads, {})
    began = time.thread_time()
    for _ in range(10):
        written.job.take_text(NOW, 0, "info", b"  a\r" * 16_000 + end)
    assert time.thread_time() - began < 0.02
    await written.most_in_a_turn()
    assert set(written.texts[:-1]) == {"  a"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"1\r2\r3\r4\r5\r6\r7", ["1", "2", "3", "4", "7"]),
        (b"\r\r  \r 1 \r\r 2 \r \r", [" 1 ", " 2 "]),
        (b" \r\r ", [""]),
        (b"1\r", ["1"]),
        (b"1", ["1"]),
    ],
)
def test_of_the_states_of_a_line_the_first_few_and_the_last_are_kept(text: bytes, kept: list[str]) -> None:
    assert [state.decode() for state in settled(text, Pace())] == kept
