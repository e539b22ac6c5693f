"""How people write schedules, retries, filters and times on the command line."""

from datetime import UTC, datetime

import pytest

from runwright.cli.automation.options import path_of
from runwright.cli.automation.texts import (
    filter_body,
    moment,
    retry_body,
    retry_text,
    schedule_body,
    schedule_text,
)
from runwright.cli.remote import Thing
from runwright.core.errors import InvalidError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


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


@pytest.mark.parametrize(
    ("text", "at"),
    [(None, None), ("2h", "2026-05-01T10:00:00Z"), ("2026-04-01T00:00:00+01:00", "2026-03-31T23:00:00Z")],
)
def test_times_may_be_so_long_ago(text: str | None, at: str | None) -> None:
    assert moment("--since", text, NOW) == at


@pytest.mark.parametrize("text", ["0s", "-2h", "yesterday", "2026-04-01", ""])
def test_what_is_no_moment_is_said(text: str) -> None:
    with pytest.raises(InvalidError):
        moment("--since", text, NOW)


@pytest.mark.parametrize("some_id", ["", "../jobs", "a/b", "a?b", "a#b", "a%2fb", "a b", "a\n"])
def test_an_id_cannot_lead_elsewhere(some_id: str) -> None:
    with pytest.raises(InvalidError):
        path_of("jobs", some_id)
