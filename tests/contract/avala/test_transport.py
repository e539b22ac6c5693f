"""Contract §1 to §4: what every route of the Avala API does alike."""

import json

import httpx
import pytest
from tests.contract.avala.client import (
    AVALA,
    NOBODY,
    NOT_FOUND,
    REQUIRED,
    UNAUTHORIZED,
    Avala,
    bad_fields,
    good,
    refused,
)
from tests.contract.avala.conftest import PUBLIC_URL

from runwright.core.errors import ConflictError, RateLimitedError
from runwright.http.avala.dialect import ERRORS

PATHS = ("/organizations", "/webhooks", "/webhook-deliveries")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_works_with_and_without_its_slash_and_never_redirects(avala: Avala, path: str) -> None:
    """§1 Slashes, Redirects."""
    assert avala.get(path) == avala.get(f"{path}/")


def test_the_key_counts_in_its_own_header_only(avala: Avala) -> None:
    """§1 Request auth: X-Avala-Api-Key; neither bearer tokens nor another dialect's header."""
    rest = {name: value for name, value in avala.headers.items() if name != "X-Avala-Api-Key"}
    others: list[dict[str, str]] = [
        {"Authorization": f"Bearer {avala.key}"},
        {"X-Internal-Secret": avala.key},
        {"X-Api-Key": avala.key},
    ]
    for header in others:
        refused(avala.http.get(f"{AVALA}/webhooks/", headers=rest | header), 401, UNAUTHORIZED)
    assert avala.http.get("/v1/ava/workers", headers=avala.headers).status_code == 401


def test_an_empty_post_is_an_empty_object_and_json_is_welcome_on_a_get(avala: Avala) -> None:
    """§1 Request bodies: no 400, 411 or 415 for a body that is not there."""
    headers = {"Content-Type": "application/json"}
    assert good(avala.call("GET", "/webhooks/", headers=headers))["results"] == []
    assert bad_fields(avala.call("POST", "/webhooks/")) == {"target_url": [REQUIRED], "events": [REQUIRED]}
    webhook = avala.make_webhook(is_active=False)
    assert avala.call("PATCH", f"/webhooks/{webhook['uid']}/", headers=headers).status_code == 200


def test_unknown_parameters_and_fields_are_passed_over(avala: Avala) -> None:
    """§1 Unknown query parameters are ignored, also repeated and empty ones."""
    webhook = avala.make_webhook(name="never sent", uid="x", created_at=None)
    for query in ("?ordering=-created_at&x=1", "?project=&task_types=a,b", "?x=1&x=2", "?", "?&&", "?limit"):
        assert [one["uid"] for one in avala.get(f"/webhooks/{query}")["results"]] == [webhook["uid"]]
    bad = {"target_url": "http://x.example/", "events": ["task.completed"], "unknown": 1}
    assert bad_fields(avala.call("POST", "/webhooks/", bad)).keys() == {"target_url"}
    many = "&".join(f"x{number}=1" for number in range(60))
    assert avala.call("GET", f"/webhooks/?{many}").status_code == 400


def test_a_list_is_walked_both_ways_by_links_and_by_cursors(avala: Avala) -> None:
    """§2 Envelope, next/previous, Cursor, What is resent, Order."""
    made = [avala.make_webhook()["uid"] for _ in range(5)][::-1]
    first = avala.get("/webhooks", limit="2", ordering="x")
    assert first.keys() == {"next", "previous", "results"}
    assert first["previous"] is None
    seen, page = [first], first
    while page["next"] is not None:
        link = httpx.URL(page["next"])
        assert str(link).startswith(f"{avala.http.url}{AVALA}/webhooks/?")
        assert (link.params["limit"], link.params["ordering"]) == ("2", "x")
        page = good(avala.http.get(str(link), headers=avala.headers))
        assert avala.get("/webhooks/", cursor=link.params["cursor"], limit="2")["results"] == page["results"]
        seen.append(page)
    assert [one["uid"] for page in seen for one in page["results"]] == made
    back = good(avala.http.get(seen[2]["previous"], headers=avala.headers))
    assert back["results"] == seen[1]["results"]
    back = good(avala.http.get(back["previous"], headers=avala.headers))
    assert (back["results"], back["previous"]) == (first["results"], None)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "²", "9" * 40])
def test_a_limit_that_is_no_size_is_ignored_and_a_large_one_cut_down(avala: Avala, limit: str) -> None:
    """§2 limit."""
    avala.make_webhook()
    assert len(avala.get("/webhooks/", limit=limit)["results"]) == 1
    assert len(avala.get("/webhooks/", limit="1000")["results"]) == 1


@pytest.mark.parametrize("cursor", ["x", "b3doXzAx", "💥", "a" * 500, "%00", "bzE="])
def test_a_bad_cursor_is_not_found(avala: Avala, cursor: str) -> None:
    """§2 Bad cursor."""
    refused(avala.call("GET", "/webhooks/", params={"cursor": cursor}), 404, "Invalid cursor")


HOSTILE = (
    "evil.example/x?",
    "a b",
    "evil.example#",
    "x@evil.example",
    "evil\x7f",
    "[::1",
    "a:b:c",
    "",
    "a:999999",
)


@pytest.mark.parametrize("host", HOSTILE)
def test_a_host_header_that_is_no_host_is_not_repeated(avala: Avala, host: str) -> None:
    """§2 next/previous are absolute; a link never holds what is not the name of a host."""
    avala.make_webhook()
    avala.make_webhook()
    response = avala.http.get(f"{AVALA}/webhooks/?limit=1", headers=avala.headers | {"Host": host})
    if response.status_code == 200:
        assert response.json()["next"].startswith(f"{avala.http.url}{AVALA}/webhooks/?")
    else:
        assert response.status_code == 400


def test_links_name_the_host_that_was_asked(avala: Avala) -> None:
    avala.make_webhook()
    avala.make_webhook()
    response = avala.http.get(
        f"{AVALA}/webhooks/?limit=1", headers=avala.headers | {"Host": "run.example:8443"}
    )
    assert response.json()["next"].startswith(f"http://run.example:8443{AVALA}/webhooks/?")


def test_errors_are_flat_and_name_every_bad_field_at_once(avala: Avala) -> None:
    """§3 400: {field: [msg, …]}, all at once, and the known texts."""
    body = {
        "target_url": "http://hooks.example.com/",
        "events": ["task.completed", "no.such", "ava.job.eaten"],
        "is_active": "maybe",
        "secret": "",
    }
    fields = bad_fields(avala.call("POST", "/webhooks/", body))
    assert fields.keys() == {"target_url", "events", "is_active", "secret"}
    assert fields["target_url"] == ["target_url must use HTTPS."]
    assert fields["events"] == ["Invalid events: no.such, ava.job.eaten"]
    assert bad_fields(avala.call("POST", "/webhooks/", [])).keys() == {"non_field_errors"}
    for raw in (b"{", b"\xff", b"[" * 100_000):
        headers = avala.headers | {"Content-Type": "application/json"}
        response = avala.http.post(f"{AVALA}/webhooks/", content=raw, headers=headers)
        assert response.status_code == 400
        assert response.json().keys() == {"detail"}


def test_what_there_is_not_is_not_found_in_this_dialects_shape(avala: Avala) -> None:
    """§3 404 and 405; §5 malformed uid in path."""
    for path in (
        "",
        "/nothing/",
        "/webhooks/x/y/z/",
        f"/webhooks/{NOBODY}/",
        "/webhooks/not-a-uid/",
        "/webhooks/💥/",
    ):
        refused(avala.call("GET", path), 404, NOT_FOUND)
    response = avala.call("PUT", "/webhooks/")
    assert response.status_code == 405
    assert response.json().keys() == {"detail"}
    assert set(response.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


def test_a_body_that_is_too_large_is_refused_without_keys_that_mean_a_quota(avala: Avala) -> None:
    """§3 413: no integer `limit` or `used`."""
    response = avala.call("POST", "/webhooks/", {"target_url": "x" * 3_000_000})
    assert response.status_code == 413
    assert response.json().keys() == {"detail"}


def test_the_operator_says_where_links_lead(dev: Avala) -> None:
    """`public_url`, for servers behind a proxy."""
    dev.make_webhook()
    dev.make_webhook()
    assert dev.get("/webhooks/", limit="1")["next"].startswith(f"{PUBLIC_URL}{AVALA}/webhooks/?")


def test_every_answer_to_a_known_key_says_how_many_requests_are_left(avala: Avala) -> None:
    """§4 Headers on every response."""
    for path in ("/webhooks/", f"/webhooks/{NOBODY}/"):
        headers = avala.call("GET", path).headers
        limit, left, reset = (int(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
        assert 0 <= left < limit
        assert reset > 1_700_000_000


def test_a_throttled_request_is_told_when_in_seconds() -> None:
    """§4 429, §3 Retry-After is a number of seconds."""
    answer = ERRORS.respond(RateLimitedError("no", retry_after=7), request_id="req_1")
    detail = {"detail": "Request was throttled. Expected available in 7 seconds."}
    assert (answer.status_code, json.loads(bytes(answer.body))) == (429, detail)
    assert answer.headers["retry-after"] == "7"


def test_a_fault_of_the_server_is_answered_bare() -> None:
    """§3 5xx."""
    answer = ERRORS.respond(RuntimeError("a secret"), request_id="req_1")
    assert (answer.status_code, json.loads(bytes(answer.body))) == (500, {"detail": "Internal server error."})
    answer = ERRORS.respond(ConflictError("It is decided."), request_id="req_1")
    assert (answer.status_code, json.loads(bytes(answer.body))) == (409, {"detail": "It is decided."})
