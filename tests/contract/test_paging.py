"""Pages by number and by cursor, newest first."""

import base64

import pytest
from tests.contract.client import Api, Json, error_of, fields_of


def page(api: Api, **params: str) -> Json:
    response = api.get("/workers", **params)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.keys() == {"data", "pagination"}
    assert body["pagination"].keys() == {"page", "per_page", "total", "has_more", "next_cursor"}
    return body


@pytest.fixture
def ids(api: Api) -> list[str]:
    """The ids of 25 workers, newest first."""
    return [str(api.make_worker(name=f"w{n}")["id"]) for n in range(25)][::-1]


def ids_of(body: Json) -> list[str]:
    return [worker["id"] for worker in body["data"]]


def test_twenty_on_the_first_page_by_default(api: Api, ids: list[str]) -> None:
    body = page(api)
    assert ids_of(body) == ids[:20]
    cursor = body["pagination"].pop("next_cursor")
    assert body["pagination"] == {"page": 1, "per_page": 20, "total": 25, "has_more": True}
    assert isinstance(cursor, str)


def test_pages_by_number_cover_the_list(api: Api, ids: list[str]) -> None:
    body = page(api, page="3", per_page="10")
    assert ids_of(body) == ids[20:]
    assert body["pagination"] == {
        "page": 3,
        "per_page": 10,
        "total": 25,
        "has_more": False,
        "next_cursor": None,
    }
    assert ids_of(page(api, page="9", per_page="10")) == []


def test_cursors_cover_the_list_whatever_is_added_meanwhile(api: Api, ids: list[str]) -> None:
    body = page(api, per_page="10")
    seen = ids_of(body)
    while body["pagination"]["has_more"]:
        api.make_worker()
        body = page(api, per_page="10", cursor=body["pagination"]["next_cursor"])
        assert body["pagination"]["page"] is None
        seen += ids_of(body)
    assert seen == ids
    assert body["pagination"]["next_cursor"] is None


def test_an_empty_list_is_a_page_too(api: Api) -> None:
    assert page(api) == {
        "data": [],
        "pagination": {"page": 1, "per_page": 20, "total": 0, "has_more": False, "next_cursor": None},
    }


@pytest.mark.parametrize("path", ["/workers", "/jobs"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page", value) for value in ("0", "-1", "x", "1.5", "", "501", str(10**30))],
        *[("per_page", value) for value in ("0", "101", "x", "")],
        *[("cursor", value) for value in ("x", "é", "=", "A" * 65, "\0")],
        ("cursor", base64.urlsafe_b64encode(b"evt_01jd9x3v7m0000000000000000").decode()),
        ("cursor", base64.urlsafe_b64encode(b"' OR 1=1 --").decode()),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_name(api: Api, path: str, name: str, value: str) -> None:
    assert fields_of(api.get(path, **{name: value})).keys() == {name}


def test_deep_pages_point_to_the_cursor(api: Api) -> None:
    assert "cursor" in fields_of(api.get("/jobs", page="101", per_page="100"))["page"][0]
    assert api.get("/jobs", page="100", per_page="100").status_code == 200


def test_a_cursor_and_a_page_exclude_each_other(api: Api, ids: list[str]) -> None:
    cursor = page(api, per_page="10")["pagination"]["next_cursor"]
    assert len(ids) == 25
    assert fields_of(api.get("/workers", cursor=cursor, page="2")).keys() == {"cursor"}
    error_of(api.get("/jobs", cursor=cursor), 422, "validation_error")
