"""What the SDK makes of refusals, lost connections and foreign answers, with a server that is told what to say."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runwright import AsyncRunwright, Runwright
from runwright.client import ApiError, ClientError, InvalidValueError, SetupError, Unreachable
from tests.integration.client.scripted_server import (
    HANG_UP,
    ScriptedServer,
    answer,
    raw_answer,
    scripted_server,
    stream,
)

JOB = {
    "id": "job_1",
    "worker_id": "wkr_1",
    "tenant_id": "ten_1",
    "status": "completed",
    "trigger": "manual",
    "priority": 5,
    "input": {"n": 1},
    "triggered_by": "key_1",
    "created_at": "2026-05-01T09:00:00.000Z",
    "worker_version": 1,
    "attempt": 1,
    "max_retries": 0,
    "of_a_later_version": True,
}
WORKER_ID = f"wkr_{'0' * 26}"
FOUND = answer(200, {"data": JOB})
MADE = answer(201, {"data": JOB})
BUSY = answer(503, {"error": {"code": "integration_unavailable", "message": "Try again."}}, retry_after="0")
LIMITED = answer(429, {"error": {"code": "rate_limited", "message": "Too many."}}, retry_after="0")
FULL = answer(429, {"error": {"code": "quota_exceeded", "message": "Full."}}, retry_after="0")
LINE = '{"ts":"2026-05-01T09:00:00Z","level":"info","msg":"%s","seq":%d,"attempt":1}'


def log(seq: int, text: str) -> str:
    return f"id: {seq}\nevent: log\ndata: {LINE % (text, seq)}\n\n"


END = 'event: end\ndata: {"job_id":"job_1","job_status":"completed"}\n\n'

Ask = Callable[[Runwright], object]


def get(rw: Runwright) -> object:
    return rw.jobs.get("job_1")


def submit(rw: Runwright) -> object:
    return rw.jobs.submit(WORKER_ID, {"n": 1})


def cancel(rw: Runwright) -> object:
    return rw.jobs.cancel("job_1")


def asked(server: ScriptedServer, ask: Ask) -> object:
    with Runwright(server.url, "key") as rw:
        return ask(rw)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), r"input\.rows\[1\]\.n is nan: JSON has no such number\."),
        (float("-inf"), r"input\.rows\[1\]\.n is -inf"),
        ("\udcff", r"input\.rows\[1\]\.n is no valid text"),
        ({"\udcff": 1}, r"input\.rows\[1\]\.n\.'\\udcff' is no valid text"),
    ],
)
def test_what_json_cannot_carry_is_refused_before_anything_is_sent(value: object, problem: str) -> None:
    with scripted_server(MADE) as server:
        with Runwright(server.url, "key") as rw:
            with pytest.raises(InvalidValueError, match=problem):
                rw.jobs.submit(WORKER_ID, {"none": None, "rows": [{}, {"n": value}]})
            endless: list[object] = []
            endless.append(endless)
            with pytest.raises(ValueError, match="nested too deeply"):
                rw.jobs.submit(WORKER_ID, {"rows": endless})
            assert rw.jobs.submit(WORKER_ID, {"none": None, "text": "null"}).id == "job_1"
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("ask", "answers"),
    [
        (get, [BUSY, FOUND]),
        (get, [HANG_UP, FOUND]),
        (get, [answer(502), FOUND]),
        (get, [LIMITED, LIMITED, FOUND]),
        (submit, [BUSY, MADE]),
        (submit, [HANG_UP, HANG_UP, MADE]),
        (cancel, [LIMITED, FOUND]),
    ],
)
def test_what_may_be_repeated_is_sent_again(ask: Ask, answers: list[bytes]) -> None:
    with scripted_server(*answers) as server:
        asked(server, ask)
    assert len(server.seen) == len(answers)
    assert len({(one.line, one.body, one.headers.get("idempotency-key")) for one in server.seen}) == 1


@pytest.mark.parametrize(
    ("ask", "answers", "error"),
    [
        (cancel, [BUSY, FOUND], ApiError),
        (cancel, [HANG_UP, FOUND], Unreachable),
        (submit, [FULL, MADE], ApiError),
        (get, [answer(503, retry_after="3600"), FOUND], ApiError),
        (get, [answer(500), FOUND], ApiError),
        (get, [answer(404), FOUND], ApiError),
    ],
)
def test_what_could_happen_twice_or_is_final_is_sent_once(
    ask: Ask, answers: list[bytes], error: type[ClientError]
) -> None:
    with scripted_server(*answers) as server, pytest.raises(error):
        asked(server, ask)
    assert len(server.seen) == 1


def test_each_call_has_an_idempotency_key_of_its_own() -> None:
    with scripted_server(MADE) as server, Runwright(server.url, "key") as rw:
        rw.jobs.submit(WORKER_ID)
        rw.jobs.submit(WORKER_ID)
        rw.jobs.submit(WORKER_ID, idempotency_key="mine")
    first, second, third = (one.headers["idempotency-key"] for one in server.seen)
    assert first != second
    assert third == "mine"


def test_a_server_that_stays_away_is_given_up() -> None:
    with scripted_server(BUSY) as server, pytest.raises(ApiError) as refused:
        Runwright(server.url, "key", retries=2).jobs.get("job_1")
    assert refused.value.status == 503
    assert len(server.seen) == 3


def test_where_nothing_listens_the_address_is_named_and_the_key_is_not() -> None:
    with scripted_server(BUSY) as server:
        url = server.url
    with pytest.raises(Unreachable) as lost:
        Runwright(url, "the-key", retries=0).jobs.get("job_1")
    assert url in str(lost.value)
    assert "the-key" not in repr(lost.value) + repr(Runwright(url, "the-key"))
    assert not lost.value.sent


@pytest.mark.parametrize(
    ("said", "code", "message", "fields"),
    [
        (
            answer(422, {"error": {"code": "validation_error", "message": "Bad.", "fields": {"a": ["No."]}}}),
            "validation_error",
            "Bad.",
            {"a": ["No."]},
        ),
        (answer(409, {"error": "the name is taken"}), "http_409", "the name is taken", {}),
        (answer(404, {"detail": "Not found."}), "http_404", "Not found.", {}),
        (
            answer(400, {"events": ["Wrong."]}),
            "validation_error",
            "The request is invalid.",
            {"events": ["Wrong."]},
        ),
        (raw_answer(502, b"<html>", "text/html"), "http_502", "The answer was 502 (text/html).", {}),
        (
            raw_answer(500, b"\xff{", "text/plain"),
            "http_500",
            "The answer was 500 (text/plain): \ufffd{.",
            {},
        ),
        (
            answer(301, location="https://elsewhere.example/"),
            "http_301",
            "The address redirects to https://elsewhere.example/; give that address instead.",
            {},
        ),
    ],
)
def test_every_kind_of_refusal_is_understood(
    said: bytes, code: str, message: str, fields: dict[str, list[str]]
) -> None:
    with scripted_server(said) as server, pytest.raises(ApiError) as refused:
        Runwright(server.url, "key", retries=0).jobs.get("job_1")
    error = refused.value
    assert (error.code, error.message, error.fields) == (code, message, fields)
    assert len(server.seen) == 1, "a redirect is not followed: the key would go elsewhere"


@pytest.mark.parametrize(
    "said", [raw_answer(200, b"<html>", "text/html"), answer(200, {"data": []}), answer(200)]
)
def test_an_answer_of_something_else_is_an_error(said: bytes) -> None:
    with scripted_server(said) as server, pytest.raises(ApiError) as refused:
        asked(server, get)
    assert refused.value.code == "unexpected_answer"


def test_fields_of_later_versions_are_kept_in_raw() -> None:
    with scripted_server(FOUND) as server, Runwright(server.url, "key") as rw:
        job = rw.jobs.get("job_1")
    assert job.created_at == datetime(2026, 5, 1, 9, tzinfo=UTC)
    assert b'"of_a_later_version":true' in job.raw


def test_a_log_is_followed_across_lost_connections() -> None:
    parts = [
        stream("retry: 1\n\n", log(1, "one"), log(2, "two"), "id: 3\nevent: log\nda"),
        HANG_UP,
        BUSY,
        stream(": nothing new\n\n", log(3, "three \u2028 of"), log(4, "four"), END),
    ]
    with scripted_server(*parts) as server, Runwright(server.url, "key") as rw:
        lines = [line.msg for line in rw.jobs.logs("job_1", follow=True)]
    assert lines == ["one", "two", "three \u2028 of", "four"]
    assert [one.headers.get("last-event-id") for one in server.seen] == [None, "2", "2", "2"]


def test_a_stream_that_brings_nothing_is_given_up() -> None:
    with scripted_server(stream("retry: 1\n\n")) as server, pytest.raises(Unreachable):
        list(Runwright(server.url, "key", retries=2).jobs.logs("job_1", follow=True))
    assert len(server.seen) == 3


def test_both_faces_do_the_same() -> None:
    async def ask(url: str) -> tuple[object, list[str]]:
        async with AsyncRunwright(url, "key") as rw:
            job = await rw.jobs.get("job_1")
            return job, [line.msg async for line in rw.jobs.logs("job_1", follow=True)]

    said = [BUSY, FOUND, stream(log(1, "one")), stream(log(2, "two"), END)]
    with scripted_server(*said) as server, Runwright(server.url, "key") as rw:
        expected = rw.jobs.get("job_1"), [line.msg for line in rw.jobs.logs("job_1", follow=True)]
    with scripted_server(*said) as again:
        assert asyncio.run(ask(again.url)) == expected
    plain = [(one.line, one.headers.get("last-event-id")) for one in server.seen]
    assert [(one.line, one.headers.get("last-event-id")) for one in again.seen] == plain


async def test_the_synchronous_face_works_inside_an_event_loop() -> None:
    with scripted_server(FOUND) as server, Runwright(server.url, "key") as rw:
        assert rw.jobs.get("job_1").id == "job_1"


def test_an_upload_reports_its_progress_and_its_length() -> None:
    version = {"worker_id": WORKER_ID, "version": 2, "status": "ready", "active": True, "source": "bundle"}
    made = answer(
        201, {"data": version | {"entrypoint": "main.py", "created_by": "k", "created_at": JOB["created_at"]}}
    )
    sent: list[tuple[int, int]] = []
    with scripted_server(made) as server, Runwright(server.url, "key") as rw:
        rw.workers.deploy(WORKER_ID, {"main.py": os.urandom(150_000)}, progress=lambda *one: sent.append(one))
    [request] = server.seen
    assert sent[-1] == (len(request.body), len(request.body))
    assert len(sent) == 3
    assert request.headers["content-length"] == str(len(request.body))


@pytest.mark.parametrize("some_id", ["", ".", "..", "a\nb"])
def test_an_id_that_is_none_is_not_sent(some_id: str) -> None:
    with scripted_server(FOUND) as server, pytest.raises(SetupError):
        asked(server, lambda rw: rw.jobs.get(some_id))
    assert server.seen == []


def test_an_id_cannot_change_the_path() -> None:
    with scripted_server(FOUND) as server:
        asked(server, lambda rw: rw.jobs.get("../tenants?x#y{z}"))
    assert server.seen[0].line == "GET /v1/ava/jobs/..%2Ftenants%3Fx%23y%7Bz%7D HTTP/1.1"


@pytest.mark.parametrize(
    "url",
    ["", "runwright.example", "ftp://h", "http://", "http://user:pw@h", "http://h?x=1", "http://h:99999"],
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    if url:
        with pytest.raises(SetupError):
            Runwright(url, "key")
    with pytest.raises(SetupError, match="API key"):
        Runwright("http://127.0.0.1", "kéy")


def test_a_proxy_is_used_for_others_and_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(FOUND) as proxy, scripted_server(FOUND) as server:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        Runwright(server.url, "key").jobs.get("job_1")
        assert (len(proxy.seen), len(server.seen)) == (0, 1)
        Runwright("http://runwright.invalid", "key").jobs.get("job_1")
    assert [one.line for one in proxy.seen] == ["GET http://runwright.invalid/v1/ava/jobs/job_1 HTTP/1.1"]


@pytest.mark.parametrize("module", ["runwright", "runwright.client", "runwright.client.blocking"])
def test_what_is_imported_is_light(module: str) -> None:
    heavy = "{'rich', 'pygments', 'click', 'typer', 'tomlkit', 'asyncpg', 'starlette', 'anyio'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    assert done.stdout == "[]\n"
