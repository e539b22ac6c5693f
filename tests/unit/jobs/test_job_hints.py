"""Hints at log lines and progress, between processes."""

import asyncio
from datetime import UTC, datetime

from runwright.events.feed_stream import JobHint, LogHint, ProgressHint
from runwright.jobs.job_hints import WATCH_SECONDS, JobHints

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LARGEST = 8000
"""PostgreSQL's payload of a notification must be shorter."""


def report(number: int, message: str | None = None) -> ProgressHint:
    return ProgressHint(f"job_{number:026}", f"wkr_{number:026}", number / 100, message, NOON)


class Process:
    """The hints of one process, and what it got."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.sends_now = asyncio.Event()
        self.now = 100.0
        self.got: list[tuple[str, JobHint]] = []
        self.hints = JobHints(self.send, monotonic=lambda: self.now)
        self.hints.on_hint(lambda tenant, hint: self.got.append((tenant, hint)))

    async def sends(self) -> list[str]:
        """Return what it has gathered and sent."""
        await self.sends_now.wait()
        self.sends_now.clear()
        sent, self.sent = self.sent, []
        return sent

    def send(self, payload: str) -> None:
        self.sent.append(payload)
        self.sends_now.set()

    def receive(self, payloads: list[str]) -> None:
        for payload in payloads:
            kind, _, content = payload.partition(" ")
            self.hints.receive(kind, content)


async def test_hints_reach_a_process_that_watches_the_tenant_the_last_of_each_job() -> None:
    near, far = Process(), Process()
    near.hints.give("ten_a", report(1))
    assert near.sent == []
    far.hints.watch(["ten_a"])
    near.receive(await far.sends())
    log = LogHint("job_1", "wkr_1")
    last = report(1, "a b: \n é \0 'quoted' {}")
    for hint in (log, report(1), log, last, report(2)):
        near.hints.give("ten_a", hint)
        near.hints.give("ten_b", hint)
    far.receive(await near.sends())
    assert far.got == [("ten_a", log), ("ten_a", last), ("ten_a", report(2))]
    assert len(near.got) == 11
    near.now += 3 * WATCH_SECONDS
    near.receive(["watch ten_b"])
    for tenant in ("ten_a", "ten_b"):
        near.hints.give(tenant, log)
    assert await near.sends() == ["hint ten_b job_1:wkr_1"]


async def test_a_notification_is_never_too_long_for_the_database() -> None:
    near, far = Process(), Process()
    near.receive(["watch ten_a"])
    for number in range(23):
        near.hints.give("ten_a", report(number, "\x01" * 200))
        near.hints.give("ten_a", report(number, "\U0001f600" * 200))
    for number in range(23, 123):
        near.hints.give("ten_a", report(number, "\x01" * 200))
        near.hints.give("ten_a", LogHint(f"job_{number:026}", f"wkr_{number:026}"))
    sent = await near.sends()
    assert max(len(f"process_01jd9x3v7m {payload}".encode()) for payload in sent) < LARGEST
    far.receive(sent)
    assert {hint.subject_id for _, hint in far.got} == {f"job_{number:026}" for number in range(123)}
    assert len(far.got) == 223
