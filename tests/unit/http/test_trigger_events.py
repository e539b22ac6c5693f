"""A trigger on an event that can never come has a warning, with the name that may be meant."""

import pytest

from runwright.http.trigger_events import event_warning


@pytest.mark.parametrize(
    "event",
    [
        "webhook",
        "ava.job.failed",
        "custom.deploy",
        "session.created",
        "ext.a.b",
        "hook.x.completed",
        "ava.run.fired",
    ],
)
def test_events_that_can_come_have_no_warning(event: str) -> None:
    assert event_warning(event) is None


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ("ava.job.complete", "Did you mean ava.job.completed?"),
        ("job.failed", "Did you mean ava.job.failed?"),
        ("AVA.JOB.FAILED", "Did you mean ava.job.failed?"),
        ("ava.worker.create", "Did you mean ava.worker.created?"),
        ("ava.job.*", "No event is called"),
        ("deploy", "published ones have a family and a dot"),
        ("ava.nothing.here", "No event is called ava.nothing.here"),
        ("Custom.Deploy", "No event is called Custom.Deploy"),
    ],
)
def test_events_that_cannot_come_have_one(event: str, hint: str) -> None:
    assert hint in (event_warning(event) or "")
