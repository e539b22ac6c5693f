"""Deploy, versions, rollback: every field, status and refusal; a deploy that fails changes nothing."""

import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.bundles import GZIP, ZIP, Files, deploy, send, send_form, tar_gz_of, zip_of
from tests.contract.client import ECHO, TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey

from runwright.workers.bundles.members import MemberKind
from runwright.workers.bundles.tar import END, canonical_header

KEYS = {
    *("worker_id", "version", "status", "active", "source", "entrypoint", "source_code", "digest"),
    *("size_bytes", "files", "error", "message", "author", "created_by", "created_at", "runtime_version"),
}
MAIN: dict[str, str | bytes] = {"main.py": ECHO, "lib/data.txt": "data"}
UNKNOWN = "wkr_01jd9x3v7m0000000000000000"
LIMIT = 50 * 1024 * 1024


def versions_of(api: Api, worker: Json) -> list[Json]:
    listed: list[Json] = api.get(f"/workers/{worker['id']}/versions").json()["data"]
    return listed


def test_a_deploy_makes_a_version_that_serves(api: Api) -> None:
    worker = api.make_worker()
    version = deploy(api, worker["id"], MAIN)
    assert version.pop("timed_out") is False
    assert version.keys() == KEYS
    assert TIME.fullmatch(version["created_at"])
    assert {name: version[name] for name in KEYS - {"created_at", "digest"}} == {
        "worker_id": worker["id"],
        "version": 2,
        "status": "ready",
        "active": True,
        "source": "bundle",
        "entrypoint": "main.py",
        "runtime_version": None,
        "source_code": None,
        "size_bytes": len(ECHO) + 4,
        "files": 2,
        "error": None,
        "message": None,
        "author": "usr_test",
        "created_by": "usr_test",
    }
    now = data_of(api.get(f"/workers/{worker['id']}"))
    assert now == worker | {"version": 2, "source_code": None, "updated_at": version["created_at"]}
    assert data_of(api.get(f"/workers/{worker['id']}/versions/2")) == version


def test_the_digest_is_that_of_the_canonical_archive(api: Api) -> None:
    content = ECHO.encode()
    header = canonical_header("main.py", kind=MemberKind.FILE, executable=False, size=len(content))
    expected = hashlib.sha256(header + content.ljust(512, b"\0") + END).hexdigest()
    assert deploy(api, api.make_worker()["id"], {"main.py": ECHO})["digest"] == expected


@pytest.mark.parametrize(
    ("kind", "archive"),
    [
        (ZIP, zip_of(MAIN)),
        (GZIP, tar_gz_of(MAIN)),
        ("application/x-gzip", tar_gz_of(MAIN)),
        ("application/x-tar+gzip", tar_gz_of(MAIN)),
        ("Application/ZIP; charset=binary", zip_of(MAIN)),
        (ZIP, tar_gz_of(MAIN)),
    ],
)
def test_every_form_of_the_same_files_is_the_same_bundle(api: Api, kind: str, archive: bytes) -> None:
    """Which archive it is, its first bytes say."""
    version = data_of(send(api, api.make_worker()["id"], archive, kind=kind), 201)
    assert version["digest"] == deploy(api, api.make_worker()["id"], MAIN)["digest"]


def test_a_form_brings_the_bundle_and_its_entrypoint(api: Api) -> None:
    worker = api.make_worker()
    parts = [("bundle", ("b.zip", zip_of({"other.py": ECHO}))), ("entrypoint", (None, b"other.py"))]
    version = data_of(send_form(api, worker["id"], parts), 201)
    assert (version["entrypoint"], version["files"]) == ("other.py", 1)
    assert data_of(api.get(f"/workers/{worker['id']}"))["entrypoint"] == "other.py"
    large = [("bundle", ("b.tgz", tar_gz_of({"other.py": ECHO, "noise": os.urandom(2_000_000)})))]
    assert data_of(send_form(api, worker["id"], large), 201)["size_bytes"] == len(ECHO) + 2_000_000


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([("entrypoint", (None, b"a.py"))], {"bundle"}),
        ([("bundle", ("b", b"")), ("bundle", ("b", b"")), ("colour", (None, b"red"))], {"bundle", "colour"}),
        ([("bundle", ("b", b"x")), ("entrypoint", (None, b"\xff"))], {"entrypoint"}),
        ([("bundle", ("b", b"x")), ("entrypoint", (None, b""))], {"entrypoint"}),
        ([("bundle", ("b", b"x")), ("entrypoint", (None, b"../x"))], {"entrypoint"}),
        ([("bundle", ("b", b"x")), ("entrypoint", (None, b"a" * 256))], {"entrypoint"}),
        ([("bundle", ("b", b"hello"))], {"bundle"}),
    ],
)
def test_a_form_that_is_wrong_is_refused_by_field(
    api: Api, parts: list[tuple[str, tuple[str | None, bytes]]], fields: set[str]
) -> None:
    assert fields_of(send_form(api, api.make_worker()["id"], parts)).keys() == fields


def test_an_entrypoint_in_query_and_form_is_refused(api: Api) -> None:
    parts = [("bundle", ("b.zip", zip_of(MAIN))), ("entrypoint", (None, b"main.py"))]
    worker = api.make_worker()
    response = api.http.httpx.post(
        f"/v1/ava/workers/{worker['id']}/deploy?entrypoint=main.py", files=parts, headers=api.headers
    )
    assert fields_of(response).keys() == {"entrypoint"}


def test_a_version_keeps_its_message_and_its_author(api: Api, make_key: MakeKey) -> None:
    worker = api.make_worker()
    path = f"/workers/{worker['id']}"
    query = {"message": "Faster\n\tby half", "author": "Ada <ada@example.org>"}
    made = data_of(send(api, worker["id"], zip_of(MAIN), **query), 201)
    assert {name: made[name] for name in query} == query
    assert made["created_by"] == "usr_test"
    form = [("bundle", ("b.zip", zip_of({"main.py": ""}))), ("message", (None, b"By form"))]
    assert data_of(send_form(api, worker["id"], form), 201)["message"] == "By form"
    assert {name: data_of(api.get(f"{path}/versions/2"))[name] for name in query} == query
    assert [(v["message"], v["author"]) for v in versions_of(api, worker)] == [
        ("By form", "usr_test"),
        (query["message"], query["author"]),
        (None, "usr_test"),
    ]
    key = make_key(api.tenant, "tenant-system-admin")
    bare = {"authorization": f"Bearer {key}", "content-type": ZIP}
    body = zip_of({"main.py": "x = 1"})
    by_key = data_of(api.http.post(f"/v1/ava{path}/deploy", content=body, headers=bare), 201)
    assert by_key["author"] == by_key["created_by"]
    named = data_of(api.post("/v1/keys", {"role": "tenant-system-admin", "name": "CI of main"}), 201)
    bare["authorization"] = f"Bearer {named['key']}"
    body = zip_of({"main.py": "x = 2"})
    assert (
        data_of(api.http.post(f"/v1/ava{path}/deploy", content=body, headers=bare), 201)["author"]
        == "CI of main"
    )


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"message": ""}, {"message"}),
        ({"message": "x" * 1001, "author": "x" * 201}, {"message", "author"}),
        ({"message": "\x1b[31m", "author": "two\nlines"}, {"message", "author"}),
        ({"wait": "61"}, {"wait"}),
        ({"wait": "-1"}, {"wait"}),
        ({"wait": "soon"}, {"wait"}),
    ],
)
def test_a_deploy_with_bad_fields_makes_nothing(api: Api, query: dict[str, str], fields: set[str]) -> None:
    worker = api.make_worker()
    assert fields_of(send(api, worker["id"], zip_of(MAIN), **query)).keys() == fields
    parts = [("bundle", ("b.zip", zip_of(MAIN))), ("message", (None, b"\0"))]
    assert fields_of(send_form(api, worker["id"], parts)).keys() == {"message"}
    assert len(versions_of(api, worker)) == 1


def test_a_deploy_that_waits_answers_with_the_end_of_the_build(api: Api) -> None:
    worker = api.make_worker()
    refused = zip_of({"main.py": ECHO, "requirements.txt": "--index-url https://evil.example/\n"})
    failed = data_of(send(api, worker["id"], refused, wait="60"), 201)
    assert (failed["status"], failed["timed_out"], failed["active"]) == ("failed", False, False)
    assert "requirements.txt, line 1" in failed["error"]
    ready = data_of(send(api, worker["id"], zip_of(MAIN), wait="60"), 201)
    assert (ready["status"], ready["timed_out"], ready["active"]) == ("ready", False, True)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "application/x-www-form-urlencoded", "zip", "text/plain"]
)
def test_another_content_type_is_a_bad_request(api: Api, kind: str) -> None:
    worker = api.make_worker()
    assert (
        "application/zip"
        in error_of(send(api, worker["id"], zip_of(MAIN), kind=kind), 400, "bad_request")["message"]
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nhello"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="bundle"\r\n\r\nx'),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"a" * 100_000),
        ("multipart/form-data; boundary=" + "b" * 2000, b"--"),
    ],
)
def test_a_body_that_is_no_form_is_a_bad_request(api: Api, kind: str, body: bytes) -> None:
    error_of(send(api, api.make_worker()["id"], body, kind=kind), 400, "bad_request")


def test_a_folder_around_everything_is_left_out_where_the_entrypoint_is_in_it(api: Api) -> None:
    """As archives of repositories have it."""
    worker = api.make_worker()
    plain = deploy(api, worker["id"], MAIN)
    wrapped = deploy(api, api.make_worker()["id"], {f"repo-main/{name}": text for name, text in MAIN.items()})
    assert wrapped["digest"] == plain["digest"]
    kept = deploy(api, worker["id"], {"src/main.py": ECHO}, entrypoint="src/main.py")
    assert kept["entrypoint"] == "src/main.py"
    assert kept["digest"] != deploy(api, api.make_worker()["id"], {"main.py": ECHO})["digest"]


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("missing.py", ['"missing.py"', "main.py", "lib/other.py"]),
        ("lib", ['"lib"']),
        ("MAIN.py", ["main.py"]),
        ("../main.py", ["'..'"]),
        ("/main.py", ["relative"]),
        ("a\x01b", ["control"]),
        ("ma[i]n.py", ["letters"]),
    ],
)
def test_an_entrypoint_that_is_no_file_of_the_bundle_is_refused(
    api: Api, entrypoint: str, words: list[str]
) -> None:
    worker = api.make_worker()
    files = {"main.py": ECHO, "lib/other.py": ECHO, "ma[i]n.py": ECHO, "README": "x"}
    fields = fields_of(send(api, worker["id"], zip_of(files), entrypoint=entrypoint))
    assert fields.keys() == {"entrypoint"}
    assert all(word in fields["entrypoint"][0] for word in words), fields
    assert "README" not in fields["entrypoint"][0]


def test_the_workers_own_entrypoint_is_looked_for_where_none_is_named(api: Api) -> None:
    worker = api.make_worker(entrypoint="src/app.py")
    assert "src/app.py" in fields_of(send(api, worker["id"], zip_of(MAIN)))["entrypoint"][0]
    assert deploy(api, worker["id"], {"src/app.py": ECHO})["entrypoint"] == "src/app.py"


HOSTILE = {
    "not an archive": b"hello",
    "empty": b"",
    "no files": zip_of({}),
    "parent": zip_of({"../main.py": ECHO}),
    "absolute": tar_gz_of({"/etc/main.py": ECHO}),
    "truncated": zip_of(MAIN)[:-5],
    "trailing": tar_gz_of(MAIN) + b"x",
    "bomb": zip_of({"main.py": ECHO, "bomb": b"0" * (40 * 1024 * 1024)}),
    "too many": zip_of({f"{n}.txt": "" for n in range(10_001)}),
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bundle_that_is_refused_changes_nothing(api: Api, archive: bytes) -> None:
    worker = api.make_worker()
    assert fields_of(send(api, worker["id"], archive)).keys() == {"bundle"}
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker
    assert [version["version"] for version in versions_of(api, worker)] == [1]


def test_a_link_in_a_bundle_is_refused_by_name(api: Api) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("config/passwd\u202e")
        info.name, info.type, info.linkname = "config/passwd", tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    message = fields_of(send(api, api.make_worker()["id"], out.getvalue(), kind=GZIP))["bundle"][0]
    assert '"config/passwd"' in message
    assert "links to something outside" in message


def test_a_body_over_the_limit_is_413_announced_or_not(api: Api) -> None:
    worker = api.make_worker()
    path = f"/v1/ava/workers/{worker['id']}/deploy"
    headers = api.headers | {"content-type": ZIP}
    body = bytes(LIMIT + 1)
    error_of(api.http.post(path, content=body, headers=headers), 413, "payload_too_large")
    chunks = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    error_of(api.http.httpx.post(path, content=chunks, headers=headers), 413, "payload_too_large")
    assert [version["version"] for version in versions_of(api, worker)] == [1]


def test_the_large_limit_is_for_deploys_alone(api: Api) -> None:
    error_of(api.call("POST", "/workers", content=bytes(3_000_000)), 413, "payload_too_large")
    noise: Files = {"main.py": ECHO, "noise": os.urandom(3_000_000)}
    assert deploy(api, api.make_worker()["id"], noise)["files"] == 2


def test_what_serves_already_is_not_made_again(api: Api) -> None:
    worker = api.make_worker()
    first = deploy(api, worker["id"], MAIN)
    again = data_of(send(api, worker["id"], tar_gz_of(MAIN), kind=GZIP), 200)
    assert again == first
    other = deploy(api, worker["id"], MAIN | {"other.py": ECHO}, entrypoint="other.py")
    assert other["version"] == 3
    back = data_of(send(api, worker["id"], zip_of(MAIN), entrypoint="main.py"), 201)
    assert (back["version"], back["digest"]) == (4, first["digest"])


def test_a_change_of_source_leaves_the_bundle_and_a_rollback_returns_to_it(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], {"src/app.py": ECHO}, entrypoint="src/app.py")
    inline = data_of(api.patch(f"/workers/{worker['id']}", {"source_code": "x = 1"}))
    assert (inline["version"], inline["entrypoint"], inline["source_code"]) == (3, "src/app.py", "x = 1")
    back = data_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 2}))
    assert (back["version"], back["entrypoint"], back["source_code"]) == (2, "src/app.py", None)
    first = data_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 1}))
    assert first == worker | {"updated_at": first["updated_at"]}
    assert [(v["version"], v["active"], v["source"]) for v in versions_of(api, worker)] == [
        (3, False, "inline"),
        (2, False, "bundle"),
        (1, True, "inline"),
    ]
    newest = data_of(api.patch(f"/workers/{worker['id']}", {"source_code": "x = 2"}))
    assert newest["version"] == 4


def test_a_rollback_to_what_serves_changes_nothing(api: Api) -> None:
    worker = api.make_worker()
    assert data_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 1})) == worker


@pytest.mark.parametrize("version", [0, -1, 10**9, "1", 1.5, None, True, [1]])
def test_a_version_that_is_no_number_is_refused(api: Api, version: Json) -> None:
    worker = api.make_worker()
    assert fields_of(api.post(f"/workers/{worker['id']}/rollback", {"version": version})).keys() == {
        "version"
    }


def test_rollback_wants_its_version_and_nothing_else(api: Api) -> None:
    path = f"/workers/{api.make_worker()['id']}/rollback"
    assert fields_of(api.post(path, {})).keys() == {"version"}
    assert fields_of(api.post(path, {"version": 1, "to": 2})).keys() == {"to"}
    error_of(api.call("POST", path), 400, "bad_request")


def test_an_unknown_version_is_not_found(api: Api) -> None:
    worker = api.make_worker()
    error_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 2}), 404, "resource_not_found")
    for version in ("2", "0", "x", "1.0", "-1", "9" * 30, "01"):
        error_of(api.get(f"/workers/{worker['id']}/versions/{version}"), 404, "resource_not_found")


def test_an_unknown_worker_is_not_found_whatever_is_sent(api: Api) -> None:
    error_of(send(api, UNKNOWN, b"hello"), 404, "resource_not_found")
    error_of(api.get(f"/workers/{UNKNOWN}/versions"), 404, "resource_not_found")
    error_of(api.get(f"/workers/{UNKNOWN}/versions/1"), 404, "resource_not_found")
    error_of(api.post(f"/workers/{UNKNOWN}/rollback", {"version": 1}), 404, "resource_not_found")


def test_a_deprecated_worker_takes_no_bundle_and_no_rollback(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], MAIN)
    api.delete(f"/workers/{worker['id']}")
    error_of(send(api, worker["id"], zip_of({"main.py": ""})), 409, "resource_conflict")
    error_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 1}), 409, "resource_conflict")
    assert len(versions_of(api, worker)) == 2


def test_the_entrypoint_of_a_bundle_can_be_changed_to_another_of_its_files(api: Api) -> None:
    worker = api.make_worker()
    bundle = deploy(api, worker["id"], MAIN | {"lib/other.py": ECHO})
    changed = data_of(api.patch(f"/workers/{worker['id']}", {"entrypoint": "lib/other.py"}))
    assert (changed["version"], changed["entrypoint"], changed["source_code"]) == (3, "lib/other.py", None)
    version = data_of(api.get(f"/workers/{worker['id']}/versions/3"))
    for name in ("digest", "size_bytes", "files", "source", "status"):
        assert version[name] == bundle[name]
    fields = fields_of(api.patch(f"/workers/{worker['id']}", {"entrypoint": "lib/none.py", "name": "New"}))
    assert fields.keys() == {"entrypoint"}
    assert "lib/other.py" in fields["entrypoint"][0]
    assert data_of(api.get(f"/workers/{worker['id']}")) == changed


def test_versions_come_in_pages_newest_first(api: Api) -> None:
    worker = api.make_worker()
    for n in range(4):
        api.patch(f"/workers/{worker['id']}", {"source_code": f"x = {n}"})
    path = f"/workers/{worker['id']}/versions"
    first = api.get(path, per_page="2").json()
    assert [version["version"] for version in first["data"]] == [5, 4]
    assert all(version["source_code"] is None for version in first["data"])
    assert first["pagination"]["total"] == 5
    second = api.get(path, per_page="2", cursor=first["pagination"]["next_cursor"]).json()
    assert [version["version"] for version in second["data"]] == [3, 2]
    assert [version["version"] for version in api.get(path, per_page="2", page="3").json()["data"]] == [1]
    assert data_of(api.get(f"{path}/3"))["source_code"] == "x = 1"
    assert fields_of(api.get(path, cursor="d2tyXzE")).keys() == {"cursor"}
    assert fields_of(api.get("/workers", cursor=first["pagination"]["next_cursor"])).keys() == {"cursor"}
    assert fields_of(api.get(path, colour="red")).keys() == {"colour"}


def test_deploys_at_once_each_make_a_version_of_their_own(api: Api) -> None:
    worker = api.make_worker()

    def make(n: int) -> Json:
        return deploy(api, worker["id"], {"main.py": ECHO, "n": str(n)})

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(make, range(6)))
    assert sorted(version["version"] for version in made) == [2, 3, 4, 5, 6, 7]
    assert data_of(api.get(f"/workers/{worker['id']}"))["version"] == 7
    assert [version["active"] for version in versions_of(api, worker)] == [True] + [False] * 6


def test_no_tenant_sees_anothers_versions(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], MAIN)
    stranger = api.having(tenant=api.tenant + "x")
    error_of(stranger.get(f"/workers/{worker['id']}/versions"), 404, "resource_not_found")
    error_of(stranger.get(f"/workers/{worker['id']}/versions/2"), 404, "resource_not_found")
    error_of(send(stranger, worker["id"], zip_of(MAIN)), 404, "resource_not_found")
    assert len(versions_of(api, worker)) == 2
