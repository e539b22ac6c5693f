"""Workers choose the release line of their runtime among those that the server has."""

import pytest
from tests.contract.bundles import Files, send, zip_of
from tests.contract.client import Api, Json, data_of, fields_of

VERSION = "import sys\ndef handler(input, env):\n    return '%d.%d' % sys.version_info[:2]\n"


def lines_of(api: Api, runtime: str = "python") -> list[Json]:
    [found] = [one for one in data_of(api.get("/runtimes")) if one["name"] == runtime]
    return list(found["versions"])


def preferred(api: Api) -> str:
    return str(next(one["runtime_version"] for one in lines_of(api) if one["preferred"]))


@pytest.fixture
def other(api: Api) -> str:
    """Return a release line of python that this server has and does not prefer."""
    others = [one["runtime_version"] for one in lines_of(api) if not one["preferred"]]
    if not others:
        pytest.skip("this host has one CPython only")
    return str(others[0])


def test_the_release_lines_of_each_runtime_are_listed_with_one_preferred(api: Api) -> None:
    for runtime in ("python", "nodejs", "deno"):
        lines = lines_of(api, runtime)
        assert sum(one["preferred"] for one in lines) == 1
        for one in lines:
            assert (one["version"] + ".").startswith(one["runtime_version"] + ".")
            assert one["runtime_version"].count(".") == (1 if runtime == "python" else 0)
        order = [[int(part) for part in one["runtime_version"].split(".")] for one in lines]
        assert order == sorted(order)
    assert all(one["end_of_support"] for one in lines_of(api, "python"))
    assert lines_of(api, "shell") == lines_of(api, "wasm") == []


def test_workers_run_on_the_line_that_they_have_chosen_also_in_turns(api: Api) -> None:
    workers = {
        line: api.make_worker(runtime="python", source_code=VERSION, runtime_version=line)
        for line in (None, *(one["runtime_version"] for one in lines_of(api)))
    }
    for line, worker in workers.items():
        assert worker["runtime_version"] == line
        assert data_of(api.get(f"/workers/{worker['id']}"))["runtime_version"] == line
    jobs = [(line, api.make_job(worker["id"])) for _ in range(3) for line, worker in workers.items()]
    ended = [(line or preferred(api), api.await_end(job["id"])) for line, job in jobs]
    assert [(job["status"], job["output"]) for _, job in ended] == [("completed", line) for line, _ in ended]


def test_children_find_the_python_of_their_worker(api: Api, other: str) -> None:
    source = "import subprocess\ndef handler(input, env):\n    return subprocess.getoutput('python3 -V')\n"
    worker = api.make_worker(runtime="python", source_code=source, runtime_version=other)
    assert api.run_job(worker["id"])["output"].startswith(f"Python {other}.")


def test_a_change_of_the_line_is_a_version_that_a_rollback_takes_back(api: Api, other: str) -> None:
    worker = api.make_worker(runtime="python", source_code=VERSION)
    path = f"/workers/{worker['id']}"
    changed = data_of(api.patch(path, {"runtime_version": other, "timeout_seconds": 20}))
    assert (changed["version"], changed["runtime_version"], changed["timeout_seconds"]) == (2, other, 20)
    assert api.run_job(worker["id"])["output"] == other
    assert data_of(api.patch(path, {"runtime_version": other}))["version"] == 2, "nothing changed"
    assert [one["runtime_version"] for one in api.get(f"{path}/versions").json()["data"]] == [other, None]
    back = data_of(api.post(f"{path}/rollback", {"version": 1}))
    assert (back["version"], back["runtime_version"]) == (1, None)
    assert api.run_job(worker["id"])["output"] == preferred(api)
    data_of(api.post(f"{path}/rollback", {"version": 2}))
    cleared = data_of(api.patch(path, {"runtime_version": None}))
    assert (cleared["version"], cleared["runtime_version"]) == (3, None)


def test_a_deploy_keeps_the_line_or_chooses_another_one(api: Api, other: str) -> None:
    files: Files = {"main.py": VERSION}
    worker = api.make_worker(runtime="python", source_code=VERSION, runtime_version=other)

    def deploy(status: int, **query: str) -> Json:
        return data_of(send(api, worker["id"], zip_of(files), **query), status)

    kept = deploy(201)
    assert (kept["version"], kept["runtime_version"]) == (2, other)
    assert api.run_job(worker["id"])["output"] == other
    assert deploy(200, runtime_version=other)["version"] == 2, "the same code on the same line"
    default = deploy(201, runtime_version="default", check="true", wait="60")
    assert (default["status"], default["runtime_version"]) == ("ready", None)
    assert api.run_job(worker["id"])["output"] == preferred(api)
    changed = data_of(api.patch(f"/workers/{worker['id']}", {"runtime_version": other}))
    assert (changed["version"], changed["runtime_version"]) == (4, other), "the bundle as it was deployed"
    assert api.run_job(worker["id"])["output"] == other


@pytest.mark.parametrize("line", ["3.1", "2.7", "20", "999"])
def test_a_line_that_the_server_has_not_is_refused_with_those_that_it_has(api: Api, line: str) -> None:
    known = f"python has {', '.join(one['runtime_version'] for one in lines_of(api))}."
    worker = api.make_worker(runtime="python", source_code=VERSION)
    body = {"name": "W", "runtime": "python", "runtime_version": line}
    for refused in (
        api.post("/workers", body),
        api.patch(f"/workers/{worker['id']}", {"runtime_version": line}),
        send(api, worker["id"], zip_of({"main.py": VERSION}), runtime_version=line),
    ):
        [message] = fields_of(refused)["runtime_version"]
        assert message.endswith(known)
    assert data_of(api.get(f"/workers/{worker['id']}"))["version"] == 1


@pytest.mark.parametrize("line", ["", "3.12.1", "latest", "3.12\n", "٣", 3.12])
def test_what_is_no_line_is_refused(api: Api, line: Json) -> None:
    body = {"name": "W", "runtime": "python", "runtime_version": line}
    assert "runtime_version" in fields_of(api.post("/workers", body))


def test_a_shell_has_no_line_to_choose(api: Api) -> None:
    body = {"name": "W", "runtime": "shell", "runtime_version": "5"}
    [message] = fields_of(api.post("/workers", body))["runtime_version"]
    assert "none to choose" in message


THREADS = """
import threading
def handler(input, env):
    go, begun = threading.Event(), 0
    try:
        for _ in range(200):
            threading.Thread(target=go.wait, daemon=True).start()
            begun += 1
    except RuntimeError:
        pass
    finally:
        go.set()
    return begun
"""


def test_a_worker_says_how_many_processes_and_threads_its_sandbox_may_have(api: Api) -> None:
    worker = api.make_worker(runtime="python", source_code=THREADS)
    assert 64 < api.run_job(worker["id"])["output"] < 128
    for most, within in ((64, range(32, 64)), (300, range(200, 201))):
        assert data_of(api.patch(f"/workers/{worker['id']}", {"max_processes": most}))["version"] == 1
        assert api.run_job(worker["id"])["output"] in within
