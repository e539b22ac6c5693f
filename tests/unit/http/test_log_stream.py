"""The lines of a log go out in parts, each about as large as what is sent in one step."""

from datetime import UTC, datetime

import pytest

from runwright.http.ava.jobs.log_stream import _log_events
from runwright.http.response import PART_BYTES
from runwright.job_views.model import LogLine


def line(seq: int, size: int) -> LogLine:
    return LogLine(ts=datetime(2026, 1, 1, tzinfo=UTC), level="info", msg="x" * size, seq=seq, attempt=1)


@pytest.mark.parametrize(
    ("count", "size"), [(0, 1), (1, 1), (5000, 20), (40, 16 * 1024), (3, 2 * PART_BYTES)]
)
async def test_no_part_has_more_than_one_line_beyond_the_size_of_a_part(count: int, size: int) -> None:
    parts = [part async for part in _log_events([line(seq, size) for seq in range(count)])]
    assert all(PART_BYTES <= len(part) < PART_BYTES + size + 500 for part in parts[:-1])
    assert all(part.endswith(b"\n\n") for part in parts)
    ids = [int(text[4:]) for text in b"".join(parts).split(b"\n") if text.startswith(b"id: ")]
    assert ids == list(range(count))
