"""`/jobs/:id/logs`: the documented shape, levels, limits and paging."""

import re

import pytest
from tests.contract.client import TIME, Api, data_of, fields_of

TALKS = """
import logging, sys
def handler(input, env):
    for n in range(input["lines"]):
        print(f"line {n}")
    logging.getLogger().warning("careful")
    print("oh no", file=sys.stderr)
    return None
"""


def test_the_handlers_lines_stand_between_the_lifecycle_lines(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=TALKS)["id"], input={"lines": 2})
    log = data_of(api.get(f"/jobs/{job['id']}/logs"))
    assert log.keys() == {"job_id", "job_status", "logs", "next_after"}
    assert (log["job_id"], log["job_status"], log["next_after"]) == (job["id"], "completed", None)
    lines = log["logs"]
    assert all(line.keys() == {"ts", "level", "msg", "seq", "attempt"} for line in lines)
    assert all(TIME.fullmatch(line["ts"]) for line in lines)
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    assert [(line["level"], line["msg"]) for line in lines[:-1]] == [
        ("info", "Worker handler started"),
        ("info", "line 0"),
        ("info", "line 1"),
        ("warn", "careful"),
        ("error", "oh no"),
    ]
    assert re.fullmatch(r"Handler completed in \d+ms", lines[-1]["msg"])
    assert lines[-1]["level"] == "info"


def test_a_level_narrows_the_log(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=TALKS)["id"], input={"lines": 1})

    def messages(level: str) -> list[str]:
        log = data_of(api.get(f"/jobs/{job['id']}/logs", **{"filter[level]": level}))
        assert {line["level"] for line in log["logs"]} == {level}
        return [line["msg"] for line in log["logs"]]

    assert messages("warn") == ["careful"]
    assert messages("error") == ["oh no"]
    assert len(messages("info")) == 3


def test_after_continues_where_a_page_ended(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=TALKS)["id"], input={"lines": 600})
    path = f"/jobs/{job['id']}/logs"
    whole = []
    after = "0"
    while after != "None":
        page = data_of(api.get(path, limit="250", after=after))
        whole += page["logs"]
        after = str(page["next_after"])
    assert [line["msg"] for line in whole[1:601]] == [f"line {n}" for n in range(600)]
    assert len(data_of(api.get(path))["logs"]) == 100
    assert len(data_of(api.get(path, limit="500"))["logs"]) == 500
    assert data_of(api.get(path, after=str(whole[-1]["seq"])))["logs"] == []


def test_a_tail_is_read_backwards_page_by_page(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=TALKS)["id"], input={"lines": 620})
    path = f"/jobs/{job['id']}/logs"
    whole = data_of(api.get(path, limit="500"))["logs"]
    whole += data_of(api.get(path, limit="500", after=str(whole[-1]["seq"])))["logs"]
    pages = [data_of(api.get(path, limit="250", tail="true"))]
    while (before := pages[0]["next_before"]) is not None:
        pages.insert(0, data_of(api.get(path, limit="250", before=str(before))))
    assert [line for page in pages for line in page["logs"]] == whole
    assert [len(page["logs"]) for page in pages] == [len(whole) - 500, 250, 250]
    assert {page["next_after"] for page in pages} == {None}
    [found] = data_of(api.get(path, tail="true", q="line 619"))["logs"]
    assert found["msg"] == "line 619"
    assert "next_before" not in data_of(api.get(path))
    assert fields_of(api.get(path, tail="true", after="3")).keys() == {"after"}


def test_a_job_that_has_not_run_has_an_empty_log(api: Api) -> None:
    job = api.make_job(api.make_worker()["id"], scheduled_at="2099-01-01T00:00:00Z")
    log = data_of(api.get(f"/jobs/{job['id']}/logs"))
    assert log == {"job_id": job["id"], "job_status": "queued", "logs": [], "next_after": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "501", "x", "1.5", "", "-1")],
        *[("after", value) for value in ("-1", "x", str(2**64))],
        *[("before", value) for value in ("0", "-1", "x", str(2**64))],
        *[("filter[level]", value) for value in ("trace", "", "INFO")],
        *[("q", value) for value in ("", "x" * 201, "nul\0")],
        ("page", "1"),
    ],
)
def test_another_parameter_or_value_is_refused_by_name(api: Api, name: str, value: str) -> None:
    path = "/jobs/job_01jd9x3v7m0000000000000000/logs"
    assert fields_of(api.get(path, **{name: value})).keys() == {name}
