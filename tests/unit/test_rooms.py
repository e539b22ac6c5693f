"""The rooms that claim and run jobs stay small enough to be read."""

from pathlib import Path

import runwright

SOURCE = Path(runwright.__file__).parent
MOST_LINES = 4_000


def test_jobs_and_executor_have_four_thousand_lines_at_most() -> None:
    lines = {
        room: sum(len(path.read_text().splitlines()) for path in (SOURCE / room).rglob("*.py"))
        for room in ("jobs", "executor")
    }
    assert min(lines.values()) > 1_000, "they are counted"
    assert sum(lines.values()) <= MOST_LINES, lines
