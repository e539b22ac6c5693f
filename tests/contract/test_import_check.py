"""A bundle is imported before it serves; a worker without code takes no jobs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.bundles import Files, send, zip_of
from tests.contract.client import Api, Json, data_of, error_of

GOOD = "def handler(input, env):\n    return {'version': 1}\n"
BROKEN: dict[str, tuple[str, Files, str]] = {
    "python, syntax": ("python", {"main.py": "def handler(:\n"}, "SyntaxError"),
    "python, no handler": ("python", {"main.py": "x = 1\n"}, "defines no function named handler"),
    "python, a module that is missing": (
        "python",
        {"main.py": "import not_there\n" + GOOD, "pyproject.toml": "[project]\nname = 'x'\n"},
        "pyproject.toml is not read",
    ),
    "nodejs, throws": ("nodejs", {"index.js": "throw new Error('at the start')"}, "at the start"),
    "deno, no handler": ("deno", {"main.ts": "export const x = 1"}, "exports no handler"),
    "shell, syntax": ("shell", {"main.sh": "if true; then"}, "syntax error"),
    "wasm, no module": ("wasm", {"main.wasm": "(module"}, "cannot be imported"),
}
FAILED = {"filter[newest_version]": "failed"}


def deploy(api: Api, worker: Json, files: Files, **query: str) -> Json:
    return data_of(send(api, worker["id"], zip_of(files), **{"check": "true", "wait": "60", **query}), 201)


def empty_worker(api: Api, runtime: str, **fields: Json) -> Json:
    return data_of(api.post("/workers", {"name": "Empty", "runtime": runtime, **fields}), 201)


def numbers(api: Api, worker: Json) -> list[int]:
    listed = api.get(f"/workers/{worker['id']}/versions").json()
    assert listed["pagination"]["total"] == len(listed["data"])
    return [version["version"] for version in listed["data"]]


@pytest.mark.parametrize(("runtime", "files", "reason"), BROKEN.values(), ids=BROKEN)
def test_code_that_cannot_be_imported_never_serves(api: Api, runtime: str, files: Files, reason: str) -> None:
    worker = empty_worker(api, runtime)
    version = deploy(api, worker, files)
    assert (version["status"], version["active"]) == ("failed", False), version
    assert reason in version["error"]
    assert version["version"] == data_of(api.get(f"/workers/{worker['id']}"))["version"] == 1
    assert numbers(api, worker) == [1]
    error_of(api.post("/jobs", {"worker_id": worker["id"]}), 409, "no_code")


def test_the_version_before_keeps_serving_and_the_check_can_be_left_out(api: Api) -> None:
    api.run_job(api.make_worker()["id"])  # a sandbox is booted ahead from now on
    worker = empty_worker(api, "python")
    good = deploy(api, worker, {"main.py": "print('imported')\n" + GOOD})
    assert (good["version"], good["status"], good["active"]) == (1, "ready", True)
    log = data_of(api.get(f"/workers/{worker['id']}/versions/{good['version']}/log"))["log"]
    assert "imported" in log
    assert deploy(api, worker, {"main.py": "def handler(:\n"})["status"] == "failed"
    assert [one["id"] for one in api.get("/workers", **FAILED).json()["data"]] == [worker["id"]]
    job = api.run_job(worker["id"])
    assert (job["error"], job["output"]) == (None, {"version": 1})
    assert api.get("/workers", **{"filter[newest_version]": "ready"}).json()["data"] != []
    unchecked = deploy(api, worker, {"main.py": "def handler(:\n    # unchecked\n"}, check="false")
    assert (unchecked["status"], unchecked["active"]) == ("ready", True)
    assert api.get("/workers", **FAILED).json()["data"] == []
    assert numbers(api, worker) == [3, 2, 1]


def test_code_that_reads_its_configuration_at_import_finds_it(api: Api) -> None:
    source = "import os\nURL = os.environ['URL']\nTOKEN = os.environ['TOKEN']\n" + GOOD
    worker = empty_worker(api, "python", config={"URL": "https://a.example"}, secrets=["TOKEN"])
    unset = deploy(api, worker, {"main.py": source})
    assert unset["status"] == "ready", "a secret that is not set yet leaves the check out"
    api.call("PUT", "/secrets/TOKEN", json={"value": "t0ken-of-the-check"})
    assert deploy(api, worker, {"main.py": source + "# again\n"})["status"] == "ready"
    leaking = deploy(api, worker, {"main.py": source + "raise ValueError(TOKEN)\n"})
    assert leaking["status"] == "failed"
    assert "t0ken-of-the-check" not in leaking["error"]


def test_nothing_is_called_and_an_import_that_never_ends_fails(api: Api) -> None:
    worker = empty_worker(api, "python", timeout_seconds=1)
    called = deploy(api, worker, {"main.py": "def handler(input, env):\n    print('was called')\n"})
    assert called["status"] == "ready"
    assert (
        "was called"
        not in data_of(api.get(f"/workers/{worker['id']}/versions/{called['version']}/log"))["log"]
    )
    endless = deploy(api, worker, {"main.py": "while True: pass\n"})
    assert endless["status"] == "failed"
    assert endless["error"] == "The code was not imported within 1 seconds."


@pytest.mark.parametrize("check", ["true", "false"])
def test_no_other_tenant_and_no_lower_role_deploys_and_nothing_is_left_of_it(api: Api, check: str) -> None:
    worker = empty_worker(api, "python")
    archive = zip_of({"main.py": GOOD})
    stranger = api.having(tenant=api.tenant + "_2")
    error_of(send(stranger, worker["id"], archive, check=check), 404, "resource_not_found")
    for role in ("tenant-viewer", "tenant-member", "tenant-admin"):
        refused = send(api.having(role=role), worker["id"], archive, check=check)
        error_of(refused, 403, "forbidden")
    error_of(send(api, worker["id"], archive, check="maybe"), 422, "validation_error")
    [only] = api.get(f"/workers/{worker['id']}/versions").json()["data"]
    assert only["version"] == 1


def test_of_deploys_at_once_the_newest_that_can_be_imported_serves(api: Api) -> None:
    worker = empty_worker(api, "python")
    sources = [GOOD + f"# {n}\n" if n % 2 else f"def handler(: # {n}\n" for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda source: deploy(api, worker, {"main.py": source}), sources))
    assert [one["status"] for one in made] == ["failed", "ready"] * 3
    good = [one["version"] for one in made if one["status"] == "ready"]
    assert sorted(one["version"] for one in made) == list(range(1, 7)), "each has a number of its own"
    assert data_of(api.get(f"/workers/{worker['id']}"))["version"] == max(good)


def test_a_worker_without_any_code_takes_no_jobs(api: Api) -> None:
    worker = empty_worker(api, "python")
    error_of(api.post("/jobs", {"worker_id": worker["id"]}), 409, "no_code")
    api.patch(f"/workers/{worker['id']}", {"source_code": GOOD})
    assert api.post("/jobs", {"worker_id": worker["id"]}).status_code == 201
