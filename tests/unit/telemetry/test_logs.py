"""Log lines go to stderr, ours and the libraries' alike, and hold no secrets."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest

from runwright.config import Settings
from runwright.telemetry.events.server import RequestFailed, RowsPruned
from runwright.telemetry.logs import EventLog, set_up_logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_json_lines_hold_event_level_time_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(log_format="json"))
    logging.getLogger("x").info("job_ended", extra={"job_id": "job_1"})
    (line,) = json_lines(capsys)
    assert (line["event"], line["level"], line["job_id"]) == ("job_ended", "info", "job_1")
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_log_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(log_format="json"))
    logging.getLogger("library").warning("disk %s", "full", extra={"free": 0})
    (line,) = json_lines(capsys)
    assert (line["event"], line["level"], line["logger"], line["free"]) == (
        "disk full",
        "warning",
        "library",
        0,
    )


@pytest.mark.parametrize("level", ["debug", "info"])
def test_requests_of_http_clients_are_not_logged_with_their_urls(
    capsys: pytest.CaptureFixture[str], level: Literal["debug", "info"]
) -> None:
    set_up_logs(Settings(log_format="json", log_level=level))
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(204))) as client:
        client.get("https://example.test/hook?key=hunter2")
    assert json_lines(capsys) == []


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(log_format="json", log_level="warning"))
    logging.getLogger("x").info("quiet")
    logging.getLogger("library").info("quiet")
    assert json_lines(capsys) == []


def test_an_exception_is_logged_whole(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(log_format="json"))
    try:
        raise RuntimeError("boom")  # noqa: TRY301  the point of this test
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    (line,) = json_lines(capsys)
    assert "RuntimeError: boom" in str(line["exception"])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_hidden_by_name_and_by_shape(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """In facts, in nested facts, in text, in a library's message and in a stack."""
    set_up_logs(Settings(log_format="json" if log_format == "json" else "text"))
    key = "rwk_" + "k3y" * 14
    log = logging.getLogger("x")
    headers = {"X-Internal-Secret": "hunter2", "note": [key]}
    log.info("a", extra={"platform_key": "hunter2", "headers": headers})
    url = "postgresql://u:hunter2@h/d?password=hunter2"
    log.info("called", extra={"by": f"with {key}", "header": "Bearer hunter2", "url": url})
    logging.getLogger("library").warning("connecting to %s", "postgresql://u:hunter2@h/d")
    try:
        raise RuntimeError(key)  # noqa: TRY301  the point of this test
    except RuntimeError:
        log.exception("failed")
    err = capsys.readouterr().err
    assert "hunter2" not in err
    assert "k3y" not in err
    assert "(hidden)" in err


def test_names_that_only_look_secret_stay_readable(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(log_format="json"))
    logging.getLogger("x").info("a", extra={"key_id": "key_1", "tokens": 3})
    (line,) = json_lines(capsys)
    assert (line["key_id"], line["tokens"]) == ("key_1", 3)


def test_text_is_one_line_for_each_record_with_its_traceback_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs(Settings(log_format="text"))
    EventLog()(RowsPruned(0.25, kind="jobs of all", count=7))
    EventLog()(RequestFailed("KeyError: 'x'", "Traceback\n  here", request_id="req_1"))
    logging.getLogger("library").warning(
        "two\nlines\x1b[2J", extra={"level": "none", "color_message": "again"}
    )
    lines = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "[info     ] rows_pruned                    duration_seconds=0.25 kind='jobs of all' count=7",
        "[error    ] request_failed                 error=\"KeyError: 'x'\" request_id=req_1",
        "",
        " here",
        "[warning  ] 'two\\nlines\\x1b[2J'            [library]",
    ]
