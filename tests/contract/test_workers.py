"""`/workers`: every documented field, filter, default, limit and status."""

import re
from datetime import date

import pytest
from tests.contract.client import ECHO, TIME, Api, Json, data_of, error_of, fields_of

KEYS = {
    *("id", "tenant_id", "name", "runtime", "description", "status", "version", "entrypoint", "source_code"),
    *("config", "secrets", "timeout_seconds", "max_retries", "max_concurrency", "memory_mb", "network"),
    *("runtime_version", "max_processes", "input_schema", "created_by", "created_at", "updated_at"),
}
MINIMAL = {"name": "w", "runtime": "python"}
UNKNOWN = "wkr_01jd9x3v7m0000000000000000"

OUTSIDE: dict[str, tuple[Json, ...]] = {
    "name": ("", "   ", "n" * 201, 5, None, ["x"], "nul\0"),
    "runtime": ("ruby", "", None, 3, "Python", {"name": "python"}),
    "description": ("d" * 2001, 1, "nul\0"),
    "secrets": ({}, "A", None, ["A", "A"], [f"S{n}" for n in range(51)]),
    "timeout_seconds": (0, 3601, -1, "60", 1.5, None, True, 10**30),
    "max_retries": (-1, 6, "1", None),
    "max_concurrency": (0, 10_001, "1"),
    "memory_mb": (63, 4097, None, 64.5),
    "max_processes": (31, 1025, None, "64"),
    **dict.fromkeys(("id", "tenant_id", "status", "version", "created_by", "created_at", "colour"), ("x",)),
}
"""Values that a new worker's fields refuse."""

NOT_CHANGEABLE: dict[str, tuple[Json, ...]] = {
    "status": ("deprecated", "queued", None, 1),
    "runtime": ("python", "nodejs"),
    "name": (None, "", "n" * 201),
    **dict.fromkeys(("entrypoint", "source_code", "config", "secrets", "memory_mb", "network"), (None,)),
    **dict.fromkeys(("timeout_seconds", "max_concurrency", "id", "version", "colour"), (0,)),
}
"""Values that a change refuses."""


def test_a_new_worker_has_the_documented_defaults(api: Api) -> None:
    worker = data_of(api.post("/workers", MINIMAL), 201)
    assert worker.keys() == KEYS
    assert re.fullmatch(r"wkr_[0-9a-z]{26}", worker["id"])
    assert TIME.fullmatch(worker["created_at"])
    assert worker["updated_at"] == worker["created_at"]
    assert worker["tenant_id"] == api.tenant
    assert {name: worker[name] for name in KEYS - {"id", "tenant_id", "created_at", "updated_at"}} == {
        "name": "w",
        "runtime": "python",
        "runtime_version": None,
        "description": None,
        "status": "active",
        "version": 1,
        "entrypoint": "main.py",
        "source_code": None,
        "config": {},
        "secrets": [],
        "timeout_seconds": 300,
        "max_retries": 0,
        "max_concurrency": None,
        "memory_mb": 256,
        "max_processes": 128,
        "network": "public",
        "input_schema": None,
        "created_by": "usr_test",
    }


@pytest.mark.parametrize(
    ("runtime", "entrypoint"), [("nodejs", "index.js"), ("python", "main.py"), ("shell", "main.sh")]
)
def test_the_entrypoint_follows_the_runtimes_convention(api: Api, runtime: str, entrypoint: str) -> None:
    assert api.make_worker(runtime=runtime)["entrypoint"] == entrypoint


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "  padded  "},
        {"name": "名" * 200},
        {"description": "d" * 2000},
        {"description": None},
        {"entrypoint": "src/app/main.py"},
        {"entrypoint": "e" * 255},
        {"source_code": "# " + "x" * (1024 * 1024 - 2)},
        {"config": {"A": "text", "B_2": 3, "_C": True, "D": {"nested": [1.5]}}},
        {"config": {f"K{n}": "v" for n in range(100)}},
        {"config": {"BACKSLASH": "\\u0000"}},
        {"secrets": ["SLACK_BOT_TOKEN", "OTHER"]},
        {"secrets": [f"S{n}" for n in range(50)]},
        {"timeout_seconds": 1},
        {"timeout_seconds": 3600},
        {"max_retries": 5},
        {"max_concurrency": 1},
        {"max_concurrency": None},
        {"memory_mb": 64},
        {"memory_mb": 4096},
        {"max_processes": 32},
        {"max_processes": 1024},
        {"network": "none"},
        {"network": {"allow": ["api.example.com", "example.org"]}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_value_within_the_limits_is_stored_as_given(api: Api, fields: dict[str, Json]) -> None:
    worker = data_of(api.post("/workers", MINIMAL | fields), 201)
    for name, value in fields.items():
        assert worker[name] == (value.strip() if name == "name" else value)
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in OUTSIDE.items() for value in values],
)
def test_a_value_outside_the_limits_is_refused_by_name(api: Api, field: str, value: Json) -> None:
    fields = fields_of(api.post("/workers", MINIMAL | {field: value}))
    assert [name.split(".")[0] for name in fields] == [field]


@pytest.mark.parametrize(
    "key",
    [
        *("", "1A", "A-B", "A B", "é", "a" * 129, "A\n", "A\0"),
        *("PATH", "HOME", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "AVA_OUTPUT"),
    ],
)
def test_a_config_key_or_secret_that_is_no_free_name_is_refused(api: Api, key: str) -> None:
    fields = fields_of(api.post("/workers", MINIMAL | {"config": {key: "x"}, "secrets": ["FINE", key]}))
    assert fields.keys() == {f"config.{key}" if key else "config", "secrets.1"}


def test_a_config_value_that_cannot_be_an_environment_variable_is_refused_by_key(api: Api) -> None:
    assert fields_of(api.post("/workers", MINIMAL | {"config": {"A": "x\0", "B": "fine"}})).keys() == {
        "config.A"
    }


@pytest.mark.parametrize("host", ["", "a b", "http://x", "x/y", "-x", "x" * 64, "*.x", "x:80", "x\0"])
def test_a_host_to_allow_must_be_a_name(api: Api, host: str) -> None:
    fields = fields_of(api.post("/workers", MINIMAL | {"network": {"allow": ["ok.example", host]}}))
    assert fields.keys() == {"network.allow.1"}


def test_all_bad_fields_are_reported_at_once(api: Api) -> None:
    body = {
        "runtime": "cobol",
        "description": 5,
        "config": {"PATH": "x", "1": "y"},
        "timeout_seconds": 0,
        "memory_mb": "much",
        "colour": "red",
        "network": {"allow": [3]},
    }
    assert fields_of(api.post("/workers", body)).keys() == {
        *(
            "name",
            "runtime",
            "description",
            "config.PATH",
            "config.1",
            "timeout_seconds",
            "memory_mb",
            "colour",
        ),
        "network.allow.0",
    }


@pytest.mark.parametrize("runtime", ["deno", "wasm"])
def test_a_runtime_that_the_host_lacks_is_refused_with_the_reason(api: Api, runtime: str) -> None:
    health = api.http.get("/healthz").json()
    info = next(info for info in health["runtimes"] if info["name"] == runtime)
    if info["ready"]:
        pytest.skip(f"this host has {runtime}")
    [message] = fields_of(api.post("/workers", MINIMAL | {"runtime": runtime}))["runtime"]
    assert info["reason"] in message


def test_the_runtimes_are_listed_ready_or_not_for_whoever_may_read(api: Api) -> None:
    runtimes = {one["name"]: one for one in data_of(api.having(role="tenant-viewer").get("/runtimes"))}
    assert set(runtimes) == {"nodejs", "python", "deno", "shell", "wasm"}
    level = api.http.get("/healthz").json()["isolation"]["level"]
    for one in runtimes.values():
        assert one.keys() == {
            *("name", "ready", "version", "end_of_support", "path", "isolation", "reason", "versions"),
        }
        if one["ready"]:
            assert one["version"]
            assert one["path"].startswith("/")
            assert (one["isolation"], one["reason"]) == (level, None)
        else:
            assert one["reason"]
            assert one["isolation"] is None
    assert date.fromisoformat(runtimes["python"]["end_of_support"]) > date(2027, 1, 1)
    assert runtimes["shell"]["end_of_support"] is None


def test_a_change_touches_only_what_it_names(api: Api) -> None:
    before = api.make_worker(description="before", config={"A": "1", "B": "2"}, secrets=["S"])
    changes = {
        "name": " New name ",
        "description": None,
        "timeout_seconds": 10,
        "max_retries": 3,
        "max_concurrency": 2,
        "memory_mb": 128,
        "max_processes": 64,
        "network": {"allow": ["example.com"]},
        "secrets": ["T"],
        "status": "paused",
        "config": {"B": None, "C": True},
    }
    after = data_of(api.patch(f"/workers/{before['id']}", changes))
    expected = changes | {"name": "New name", "config": {"A": "1", "C": True}}
    assert after == before | expected | {"updated_at": after["updated_at"]}
    assert after["updated_at"] >= before["updated_at"]
    assert data_of(api.get(f"/workers/{before['id']}")) == after


def test_new_source_makes_a_new_version_and_other_changes_do_not(api: Api) -> None:
    worker = api.make_worker()
    path = f"/workers/{worker['id']}"
    assert data_of(api.patch(path, {"name": "renamed"}))["version"] == 1
    assert data_of(api.patch(path, {"source_code": ECHO + "#"}))["version"] == 2
    assert data_of(api.patch(path, {"source_code": ECHO + "#"}))["version"] == 2
    assert data_of(api.patch(path, {"entrypoint": "other.py"}))["version"] == 3


def test_an_empty_change_changes_nothing(api: Api) -> None:
    worker = api.make_worker()
    assert data_of(api.patch(f"/workers/{worker['id']}", {})) == worker


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in NOT_CHANGEABLE.items() for value in values],
)
def test_a_change_that_is_not_allowed_is_refused_by_name(api: Api, field: str, value: Json) -> None:
    worker = api.make_worker()
    assert fields_of(api.patch(f"/workers/{worker['id']}", {field: value})).keys() == {field}
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker


def test_config_cannot_grow_past_its_limit_by_merging(api: Api) -> None:
    worker = api.make_worker(config={f"A{n}": "" for n in range(60)})
    more = {f"B{n}": "" for n in range(60)}
    assert fields_of(api.patch(f"/workers/{worker['id']}", {"config": more})).keys() == {"config"}


def test_deleting_deprecates_for_good(api: Api) -> None:
    worker = api.make_worker()
    path = f"/workers/{worker['id']}"
    deprecated = data_of(api.delete(path))
    assert deprecated == worker | {"status": "deprecated", "updated_at": deprecated["updated_at"]}
    assert data_of(api.get(path)) == deprecated
    assert data_of(api.delete(path)) == deprecated
    error_of(api.patch(path, {"status": "active"}), 409, "resource_conflict")
    error_of(api.post("/jobs", {"worker_id": worker["id"]}), 409, "resource_conflict")


def test_a_paused_worker_takes_no_jobs_until_it_is_active_again(api: Api) -> None:
    worker = api.make_worker()
    path = f"/workers/{worker['id']}"
    data_of(api.patch(path, {"status": "paused"}))
    error_of(api.post("/jobs", {"worker_id": worker["id"]}), 409, "resource_conflict")
    data_of(api.patch(path, {"status": "active"}))
    assert api.run_job(worker["id"])["status"] == "completed"


def test_filters_and_search_narrow_the_list(api: Api) -> None:
    first = api.make_worker(name="Alpha report")
    second = api.make_worker(name="beta REPORT", runtime="shell", source_code="true")
    third = api.make_worker(name="gamma_50%")
    api.patch(f"/workers/{first['id']}", {"status": "paused"})
    api.delete(f"/workers/{third['id']}")

    def names(**params: str) -> list[str]:
        return [worker["name"] for worker in api.get("/workers", **params).json()["data"]]

    assert names() == [third["name"], second["name"], first["name"]]
    assert names(**{"filter[status]": "active"}) == [second["name"]]
    assert names(**{"filter[status]": "paused"}) == [first["name"]]
    assert names(**{"filter[status]": "deprecated"}) == [third["name"]]
    assert names(**{"filter[runtime]": "shell"}) == [second["name"]]
    assert names(**{"filter[runtime]": "nodejs"}) == []
    assert names(q="report") == [second["name"], first["name"]]
    assert names(q="_50%") == [third["name"]]
    assert names(q="%") == [third["name"]]
    assert names(q="report", **{"filter[runtime]": "python"}) == [first["name"]]
    assert names(q="") == names()


def test_a_list_has_the_source_of_workers_unless_it_is_left_out(api: Api) -> None:
    made = [api.make_worker(name=f"w{n}", config={"N": n}) for n in range(3)][::-1]
    listed = api.get("/workers", payloads="true").json()
    assert listed["data"] == api.get("/workers").json()["data"] == made
    without = api.get("/workers", payloads="false").json()
    assert without == listed | {"data": [worker | {"source_code": None} for worker in made]}
    page = api.get("/workers", payloads="false", per_page="2", q="W", **{"filter[status]": "active"}).json()
    rest = api.get("/workers", payloads="false", q="W", cursor=page["pagination"]["next_cursor"]).json()
    assert page["data"] + rest["data"] == without["data"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter[status]", "gone"),
        ("filter[status]", ""),
        ("filter[status]", "null"),
        ("filter[runtime]", "ruby"),
        ("filter[newest_version]", "broken"),
        ("filter[name]", "x"),
        ("filter", "x"),
        ("status", "active"),
        ("q", "nul\0"),
        ("payloads", "no"),
        ("q", "q" * 201),
        ("wait", "1"),
    ],
)
def test_an_unknown_filter_or_value_is_refused_by_name(api: Api, name: str, value: str) -> None:
    assert fields_of(api.get("/workers", **{name: value})).keys() == {name}


def test_a_parameter_given_twice_is_refused(api: Api) -> None:
    assert fields_of(api.call("GET", "/workers?q=a&q=b")).keys() == {"q"}


@pytest.mark.parametrize(
    "worker_id", [UNKNOWN, "wkr_01hxyz", "job_01jd9x3v7m0000000000000000", "x", "%00", "%2F.."]
)
def test_an_unknown_worker_is_not_found(api: Api, worker_id: str) -> None:
    error_of(api.get(f"/workers/{worker_id}"), 404, "resource_not_found")
    error_of(api.patch(f"/workers/{worker_id}", {}), 404, "resource_not_found")
    error_of(api.delete(f"/workers/{worker_id}"), 404, "resource_not_found")
