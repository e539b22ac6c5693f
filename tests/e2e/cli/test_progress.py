"""How far a job is, live below its log at a terminal, and nowhere else."""

import pytest
from tests.contract.sdk.conftest import REPORTS
from tests.e2e.cli.conftest import Home

from runwright import Runwright

BAR = "━" * 8 + "─" * 12 + "  40% pages"
ERASED = "\r\x1b[2K"


@pytest.fixture
def worker(rw: Runwright, request: pytest.FixtureRequest) -> str:
    return rw.workers.create(f"reports-{request.node.name}"[:60], "python", source_code=REPORTS).name


def test_run_shows_a_bar_below_the_log_until_the_end(home: Home, rw: Runwright, worker: str) -> None:
    terminal = home.terminal(f"runwright run {worker}").expect("began").expect(BAR)
    rw.jobs.run(worker, {"go": True})
    terminal.expect("completed")
    assert terminal.end() == 0
    assert terminal.raw.count(BAR) <= terminal.raw.count(ERASED)
    assert BAR not in terminal.raw.rpartition(ERASED)[2]


def test_logs_shows_the_bar_of_a_job_and_of_a_workers_jobs(home: Home, rw: Runwright, worker: str) -> None:
    job = rw.jobs.submit(worker)
    alone = home.terminal(f"runwright logs {job.id} -f").expect(BAR)
    among = home.terminal(f"runwright logs {worker} -f").expect(BAR)
    assert " ".join(BAR.split()) in home.ok(f"runwright jobs get {job.id}")
    rw.jobs.run(worker, {"go": True})
    assert alone.expect("Handler completed").end() == 0
    assert among.expect("Handler completed").send("\x03").end() == 130


def test_without_a_terminal_there_is_no_bar(home: Home, rw: Runwright, worker: str) -> None:
    rw.jobs.run(worker, {"go": True})
    done = home.run(f"runwright run {worker}")
    assert done.returncode == 0, done.stderr
    assert "began" in done.stderr
    assert "pages" not in done.stdout + done.stderr
