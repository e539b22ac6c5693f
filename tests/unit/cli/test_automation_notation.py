"""How people write schedules, retries and filters on the command line."""

import pytest

from runwright.cli.automation.notation import (
    filter_body,
    retry_body,
    retry_text,
    schedule_body,
    schedule_text,
)
from runwright.cli.output import Thing
from runwright.core.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "body", "shown"),
    [
        ("0 9 * * MON", {"mode": "cron", "expr": "0 9 * * MON"}, "cron:0 9 * * MON"),
        ("TZ=Europe/Berlin 0 9 * * *", {"mode": "cron", "expr": "TZ=Europe/Berlin 0 9 * * *"}, None),
        ("every:1h30m", {"mode": "every", "interval": "1h30m"}, "every:1h30m"),
        (
            "at:2026-05-01T09:00:00Z",
            {"mode": "at", "time": "2026-05-01T09:00:00Z"},
            "at:2026-05-01T09:00:00Z",
        ),
        ("at:2026-05-01T09:00:00+02:00", {"mode": "at", "time": "2026-05-01T07:00:00Z"}, None),
        ("at:2026-05-01T09:00", {"mode": "at", "time": "2026-05-01T09:00:00Z"}, None),
        ("at:2026-05-01T09:00:30", {"mode": "at", "time": "2026-05-01T09:00:30Z"}, None),
    ],
)
def test_schedules(text: str, body: Thing, shown: str | None) -> None:
    assert schedule_body(text) == body
    assert schedule_text(schedule_body(text)) == (
        shown or f"{body['mode']}:{body.get('expr') or body.get('time')}"
    )


@pytest.mark.parametrize("text", ["at:", "at:tomorrow", "at:2026-05-01", "at:2026-13-01T09:00"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(InvalidError, match="invalid") as refused:
        schedule_body(text)
    assert list(refused.value.fields) == ["--schedule"]


@pytest.mark.parametrize(
    ("text", "body", "shown"),
    [
        ("none", {"strategy": "none", "max_retries": 0, "base_delay": ""}, "none"),
        ("backoff", {"strategy": "backoff", "max_retries": 3, "base_delay": "2s"}, "backoff:3:2s"),
        ("backoff:5:1m", {"strategy": "backoff", "max_retries": 5, "base_delay": "1m"}, "backoff:5:1m"),
    ],
)
def test_retries(text: str, body: Thing, shown: str) -> None:
    assert retry_body(text) == body
    assert retry_text(retry_body(text)) == shown


@pytest.mark.parametrize("text", ["", "linear", "backoff:3", "backoff:x:2s", "none:1", "backoff:1:2:3"])
def test_what_is_no_retry_is_said(text: str) -> None:
    with pytest.raises(InvalidError):
        retry_body(text)


def test_filters_may_be_repeated_and_listed() -> None:
    assert filter_body(["data.ref=main,kind=push", "data.x = a=b "]) == {
        "data.ref": "main",
        "kind": "push",
        "data.x": "a=b",
    }
    with pytest.raises(InvalidError):
        filter_body(["data.ref"])
