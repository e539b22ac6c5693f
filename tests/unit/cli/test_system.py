"""The state of a server as text."""

from runwright.cli.system import system_text
from runwright.client.models.system import SystemInfo

STATE = SystemInfo(
    version="1.2.3",
    roles=["api", "executor"],
    isolation={
        "level": "standard",
        "floor": "process",
        "reached": [],
        "missing": [{"what": "cgroups", "why": "", "remedy": ""}],
    },
    runtimes=[
        {"name": "python", "ready": True, "version": "3.13.0"},
        {"name": "deno", "ready": False, "version": None, "reason": "not installed"},
    ],
    executors=[
        {
            "id": f"exe_01jz8y3v5n3q6r8s9t0v1w2x3{draining:d}{live:d}",
            "host": "one",
            "running": 3,
            "slots": 8,
            "draining": draining,
            "live": live,
            "isolation": "strict",
        }
        for draining, live in ((False, True), (True, True), (False, False))
    ],
    queue={
        "ready": 1200,
        "waiting": 3,
        "running": 8,
        "oldest_due_at": "2026-05-01T00:00:00Z",
        "oldest_due_seconds": 130.0,
    },
    database={"version": "18.0", "embedded": False, "schema_version": 25, "size_bytes": 10_500_000},
    disks=[
        {
            "folder": "data_dir",
            "path": "/var/lib/runwright",
            "total_bytes": 2_000_000_000,
            "free_bytes": 1_000_000_000,
        }
    ],
)


def test_every_section_says_what_an_operator_looks_for() -> None:
    text = system_text(STATE)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "missing cgroups" in lines
    assert "ready 1,200" in lines
    assert "oldest 2m10s" in lines
    assert [line.split()[-2] for line in lines if "slots" in line] == ["live", "draining", "lost"]
    assert "deno not ready: not installed" in lines
    assert "version PostgreSQL 18.0 (yours)" in lines
    assert "data_dir 1.0 GB free of 2.0 GB /var/lib/runwright" in lines
