"""Whatever is sent, the answer is a clear 4xx in the documented shape, through both doors of `POST /jobs`."""

import pytest
from tests.contract.client import AVA, Api, Json, error_of, fields_of

SUBMIT_PATHS = ("/jobs", "/jobs/")
"""The bare route and the framework's: the second spelling is not the fast route's own."""

WRITES = (*SUBMIT_PATHS, "/jobs/batch", "/workers", "/schedules")

MALFORMED = {
    "nothing": b"",
    "white space": b" \n",
    "a word": b"hello",
    "half an object": b'{"worker_id": "wkr_1"',
    "a trailing comma": b'{"worker_id": "x",}',
    "single quotes": b"{'worker_id': 'x'}",
    "two values": b"{} {}",
    "NaN": b'{"input": {"a": NaN}}',
    "Infinity": b'{"priority": Infinity}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"worker_id": "x"}'.encode("utf-16"),
    "Latin-1": b'{"worker_id": "\xe9"}',
    "Latin-1 in the input": b'{"worker_id": "x", "input": {"a": "\xe9"}}',
    "an encoded surrogate": b'{"worker_id": "\xed\xa0\x80"}',
    "a raw control character": b'{"worker_id": "a\x01b"}',
    "a lone surrogate": rb'{"worker_id": "\ud800"}',
    "a lone surrogate in the input": rb'{"worker_id": "x", "input": {"a": "\udfff"}}',
    "a lone surrogate in a key": rb'{"worker_id": "x", "input": {"\ud800": 1}}',
    "brackets without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "deep input": b'{"worker_id": "x", "input": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
    "deep nonsense": b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_is_a_bad_request(api: Api, path: str, body: bytes) -> None:
    error_of(api.call("POST", path, content=body), 400, "bad_request")


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true", b"[" * 60 + b"]" * 60])
def test_json_that_is_no_object_is_invalid(api: Api, path: str, body: bytes) -> None:
    assert fields_of(api.call("POST", path, content=body)).keys() == {"body"}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=latin-1",
        "json",
    ],
)
def test_another_content_type_is_a_bad_request(api: Api, path: str, content_type: str | None) -> None:
    headers = api.headers | ({"content-type": content_type} if content_type else {})
    response = api.http.post(AVA + path, content=b'{"worker_id": "x"}', headers=headers)
    assert "application/json" in error_of(response, 400, "bad_request")["message"]


@pytest.mark.parametrize("path", SUBMIT_PATHS)
@pytest.mark.parametrize("kind", ["application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"'])
def test_json_by_another_spelling_is_json(api: Api, path: str, kind: str) -> None:
    content = b'{"worker_id": "wkr_unknown"}'
    response = api.http.post(AVA + path, content=content, headers=api.headers | {"content-type": kind})
    error_of(response, 404, "resource_not_found")


@pytest.mark.parametrize("path", SUBMIT_PATHS)
@pytest.mark.parametrize(("levels", "status"), [(63, 404), (64, 422), (900, 422)])
def test_input_is_at_most_64_levels_deep(api: Api, path: str, levels: int, status: int) -> None:
    deep = b"[" * levels + b'"]["' + b"]" * levels
    response = api.call("POST", path, content=b'{"worker_id": "wkr_unknown", "input": {"a": ' + deep + b"}}")
    if status == 404:
        error_of(response, 404, "resource_not_found")
    else:
        assert fields_of(response).keys() == {"input"}


def test_config_is_at_most_64_levels_deep(api: Api) -> None:
    deep: Json = "x"
    for _ in range(65):
        deep = [deep]
    body = {"name": "w", "runtime": "python", "config": {"A": deep}}
    assert fields_of(api.post("/workers", body)).keys() == {"config"}


def test_no_depth_between_the_limit_and_what_a_parser_can_take_is_a_fault(api: Api) -> None:
    for levels in range(880, 1010):
        deep = b"[" * levels + b"]" * levels
        body = (
            b'{"name": "w", "runtime": "python", "config": {"A": '
            + deep
            + b"}, "
            + b'"network": '
            + deep
            + b"}"
        )
        assert api.call("POST", "/workers", content=body).status_code in {400, 422}
        for path in (*SUBMIT_PATHS, "/jobs/batch"):
            body = (
                b'{"worker_id": "x", "jobs": [{"input": {"a": '
                + deep
                + b'}}], "input": {"a": '
                + deep
                + b"}}"
            )
            assert api.call("POST", path, content=body).status_code in {400, 422}


@pytest.mark.parametrize("path", SUBMIT_PATHS)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"worker_id": "x", "priority": 1e400}', "priority"),
        (b'{"worker_id": "x", "priority": 99999999999999999999999999}', "priority"),
        (b'{"worker_id": "x", "priority": ' + b"9" * 5000 + b"}", "priority"),
        (b'{"worker_id": "x", "input": {"a": 1e999}}', "input"),
        (b'{"worker_id": "x", "input": {"a": ' + b"9" * 5000 + b"}}", "input"),
        (rb'{"worker_id": "nul\u0000"}', "worker_id"),
        (b'{"worker_id": "x", "scheduled_at": "2026-02-30T00:00:00Z"}', "scheduled_at"),
        (b'{"worker_id": "x", "\\u0000": 1}', "\0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(api: Api, path: str, body: bytes, field: str) -> None:
    assert fields_of(api.call("POST", path, content=body)).keys() == {field}


@pytest.mark.parametrize("path", SUBMIT_PATHS)
def test_both_doors_say_the_same(api: Api, path: str) -> None:
    bad = {
        "worker_id": 5,
        "input": [],
        "priority": 0,
        "trigger": "x",
        "scheduled_at": "x",
        "output": 1,
        "x": 1,
    }
    assert fields_of(api.post(path, bad)) == {
        "worker_id": ["Must be a string, not an integer."],
        "input": ["Must be an object, not a list."],
        "priority": ["Must be at least 1."],
        "trigger": ["Must be one of: manual, scheduled, webhook, event."],
        "scheduled_at": ["Must be an ISO 8601 date and time with a zone, for example 2030-01-31T08:00:00Z."],
        "output": ["Is read-only."],
        "x": ["Is not a known field."],
    }
    error_of(api.having(role="tenant-admin").post(path, bad), 403, "forbidden")
    error_of(api.having(key="wrong").post(path, bad), 401, "unauthorized")
    worker = api.make_worker()
    job = api.post(f"{path}?wait=60", {"worker_id": worker["id"], "input": {"a": 1}}).json()["data"]
    assert (job["status"], job["output"]) == ("completed", {"a": 1})


def test_the_report_of_bad_fields_is_bounded(api: Api) -> None:
    fields = fields_of(api.post("/workers", {f"unknown_{n}_{'x' * 500}": 1 for n in range(1000)}))
    assert len(fields) == 100
    assert all(len(name) <= 100 for name in fields)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/v1/ava", "/v1/ava/nothing", "/v1", "/v1/ava/jobs/x/nothing", "/%00")),
        ("POST", "/v1/ava/nothing"),
        ("GET", "/v1/ava/jobs/../../etc/passwd"),
    ],
)
def test_a_path_that_does_not_exist_is_not_found(api: Api, method: str, path: str) -> None:
    error_of(api.http.request(method, path, headers=api.headers), 404, "resource_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            ("PUT", "/v1/ava/jobs"),
            ("DELETE", "/v1/ava/jobs"),
            ("PATCH", "/v1/ava/jobs"),
        ),
        *(("POST", "/livez"), ("GET", "/v1/ava/jobs/job_01jd9x3v7m0000000000000000/cancel")),
    ],
)
def test_a_method_that_does_not_exist_says_which_do(api: Api, method: str, path: str) -> None:
    response = api.http.request(method, path, headers=api.headers)
    assert response.status_code == 405
    assert response.headers["allow"]
    error_of(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/ava/jobs", "/v1/ava/docs"])
def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    answers = [api.http.request(method, path, headers=api.headers) for method in ("HEAD", "GET")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["content-type"] == answers[1].headers["content-type"]
    assert (answers[0].content, bool(answers[1].content)) == (b"", True)
    missing = api.http.request("HEAD", "/v1/ava/jobs/job_01jd9x3v7m0000000000000000", headers=api.headers)
    assert (missing.status_code, missing.content) == (404, b"")


def test_a_path_that_does_not_exist_is_named_as_such_and_an_id_as_an_id(api: Api) -> None:
    assert "no such path" in api.get("/nothing").json()["error"]["message"]
    missing = api.get("/jobs/job_01jd9x3v7m0000000000000000").json()["error"]["message"]
    assert "path" not in missing


@pytest.mark.parametrize(
    "path", ["/jobs", "/workers", "/schedules", "/events", "/secrets", "/inbox", "/schedules?page=2"]
)
def test_a_blank_cursor_is_no_cursor(api: Api, path: str) -> None:
    answer = api.get(f"{path}{'&' if '?' in path else '?'}cursor=")
    assert answer.status_code == 200, answer.text


def test_options_tells_all_methods_of_a_path(api: Api) -> None:
    for path, methods in (("/workers", "GET, OPTIONS, POST"), ("/workers/x", "DELETE, GET, OPTIONS, PATCH")):
        assert api.call("OPTIONS", path).headers["allow"] == methods


def test_a_query_with_too_many_parameters_is_a_bad_request(api: Api) -> None:
    error_of(api.call("GET", "/jobs?" + "&".join(f"a{n}=1" for n in range(51))), 400, "bad_request")


def test_every_answer_has_an_id_and_a_harmless_one_of_the_client_is_kept(api: Api) -> None:
    for given in ("my-request_1", "x" * 64):
        response = api.call("GET", "/nothing", headers={"x-request-id": given})
        assert response.headers["x-request-id"] == given
    for given in ("", "x" * 65, "a b", "<script>", "a;b"):
        response = api.call("GET", "/nothing", headers={"x-request-id": given})
        assert response.headers["x-request-id"].startswith("req_")


def test_answers_tell_browsers_to_keep_out(api: Api) -> None:
    for path in ("/v1/ava/workers", "/v1/ava/nothing", "/livez"):
        headers = api.http.get(path, headers=api.headers).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers
