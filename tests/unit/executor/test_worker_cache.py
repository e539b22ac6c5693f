"""Sandboxes are shared by jobs of the same code and limits only."""

from datetime import UTC, datetime

import msgspec
import pytest

from runwright.executor.worker_cache import load_worker
from runwright.workers.store import WorkerRevision

WITHOUT_CODE = WorkerRevision(
    worker_id="wkr_a",
    tenant_id="ten_a",
    name="a",
    runtime="python",
    revision=1,
    version=1,
    entrypoint="main.py",
    source_code="",
    config={},
    secrets=[],
    timeout_seconds=30,
    max_concurrency=None,
    memory_mb=256,
    network="public",
    updated_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"revision": 2, "config": {"A": 1}, "timeout_seconds": 60}, True),
        ({"revision": 2, "version": 2}, False),
        ({"revision": 2, "bundle_digest": "0" * 64}, False),
        ({"revision": 2, "memory_mb": 512}, False),
        ({"revision": 2, "max_processes": 64}, False),
        ({"revision": 2, "network": "none"}, False),
    ],
    ids=["settings", "version", "first deploy", "memory", "processes", "network"],
)
def test_a_key_is_that_of_one_code_with_its_limits(changes: dict[str, object], *, shared: bool) -> None:
    changed = msgspec.structs.replace(WITHOUT_CODE, **changes)
    assert (load_worker(changed).code.key == load_worker(WITHOUT_CODE).code.key) is shared
