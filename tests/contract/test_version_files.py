"""The files of versions, and what differs between two of them."""

import base64
import hashlib

import pytest
from tests.contract.bundles import Files, deploy
from tests.contract.client import ECHO, Api, Json, data_of, error_of, fields_of

UNKNOWN = "wkr_01jd9x3v7m0000000000000000"
FIRST: Files = {
    "main.py": ECHO,
    "lib/names.txt": "one\ntwo\nthree\n",
    "lib/old.py": "x = 1\n",
    "logo.png": b"\x89PNG\0\xff",
    "run.sh": "echo hi\n",
}
SECOND: Files = {
    "main.py": ECHO,
    "lib/names.txt": "one\nzwei\nthree\nfour",
    "lib/new.py": "y = 2\n",
    "logo.png": b"\x89PNG\0\xfe",
    "run.sh": "#!/bin/sh\necho hi\n",
}
FILE_KEYS = {"path", "size_bytes", "executable", "digest"}


def files_of(api: Api, worker: Json, version: int, **query: str) -> Json:
    return data_of(api.get(f"/workers/{worker['id']}/versions/{version}/files", **query))


def content_of(api: Api, worker: Json, version: int, path: str) -> Json:
    return data_of(api.get(f"/workers/{worker['id']}/versions/{version}/files/content", path=path))


def diff_of(api: Api, worker: Json, old: int, new: int) -> Json:
    return data_of(api.get(f"/workers/{worker['id']}/diff", **{"from": str(old), "to": str(new)}))


def test_files_are_listed_by_path_with_their_digests(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], SECOND)
    listed = files_of(api, worker, 2)
    assert listed.keys() == {"worker_id", "version", "entrypoint", "files", "total", "next_after"}
    assert (listed["version"], listed["total"], listed["next_after"]) == (2, len(SECOND), None)
    assert [file["path"] for file in listed["files"]] == sorted(SECOND)
    for file in listed["files"]:
        assert file.keys() == FILE_KEYS
        content = SECOND[file["path"]]
        raw = content if isinstance(content, bytes) else content.encode()
        assert (file["size_bytes"], file["digest"]) == (len(raw), hashlib.sha256(raw).hexdigest())
        assert file["executable"] == raw.startswith(b"#!")
    [source] = files_of(api, worker, 1)["files"]
    assert (source["path"], source["size_bytes"]) == ("main.py", len(ECHO))


def test_windows_of_the_list_join(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], FIRST)
    found: list[str] = []
    after: dict[str, str] = {}
    for _ in range(3):
        window = files_of(api, worker, 2, limit="2", **after)
        found += [file["path"] for file in window["files"]]
        after = {"after": window["next_after"]}
    assert found == sorted(FIRST)
    assert after == {"after": None}


def test_a_file_is_read_as_text_or_in_base64(api: Api) -> None:
    worker = api.make_worker()
    large = "ä" * 300_000
    deploy(api, worker["id"], {**FIRST, "large.txt": large, "empty": ""})
    text = content_of(api, worker, 2, "lib/names.txt")
    assert text.keys() == FILE_KEYS | {"worker_id", "version", "encoding", "content", "truncated"}
    assert (text["encoding"], text["content"], text["truncated"]) == ("utf-8", "one\ntwo\nthree\n", False)
    binary = content_of(api, worker, 2, "logo.png")
    assert (binary["encoding"], base64.b64decode(binary["content"])) == ("base64", FIRST["logo.png"])
    cut = content_of(api, worker, 2, "large.txt")
    assert (cut["encoding"], cut["truncated"], cut["size_bytes"]) == ("utf-8", True, 600_000)
    assert cut["content"] == "ä" * 262_144
    assert content_of(api, worker, 2, "empty")["content"] == ""
    assert content_of(api, worker, 1, "main.py")["content"] == ECHO


def test_what_differs_is_shown_file_by_file(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], FIRST)
    deploy(api, worker["id"], SECOND)
    found = diff_of(api, worker, 2, 3)
    assert found.keys() == {
        *("worker_id", "from", "to", "from_entrypoint", "to_entrypoint", "files", "total", "truncated"),
    }
    assert (found["from"], found["to"], found["total"], found["truncated"]) == (2, 3, 5, False)
    files = {file["path"]: file for file in found["files"]}
    assert list(files) == ["lib/names.txt", "lib/new.py", "lib/old.py", "logo.png", "run.sh"]
    names = files["lib/names.txt"]
    assert (names["change"], names["added_lines"], names["removed_lines"]) == ("modified", 2, 1)
    assert names["diff"] == (
        "--- a/lib/names.txt\n+++ b/lib/names.txt\n@@ -1,3 +1,4 @@\n one\n-two\n+zwei\n three\n+four\n"
        "\\ No newline at end of file\n"
    )
    assert (files["lib/new.py"]["change"], files["lib/new.py"]["from"]) == ("added", None)
    assert files["lib/new.py"]["diff"] == "--- /dev/null\n+++ b/lib/new.py\n@@ -0,0 +1 @@\n+y = 2\n"
    assert (files["lib/old.py"]["change"], files["lib/old.py"]["to"]) == ("removed", None)
    logo = files["logo.png"]
    assert (logo["change"], logo["omitted"], logo["diff"], logo["added_lines"]) == (
        *("modified", "binary"),
        *(None, None),
    )
    assert (files["run.sh"]["from"]["executable"], files["run.sh"]["to"]["executable"]) == (False, True)
    assert diff_of(api, worker, 3, 3)["files"] == []
    back = diff_of(api, worker, 3, 2)
    assert {file["path"]: file["change"] for file in back["files"]}["lib/old.py"] == "added"


def test_inline_source_is_compared_like_a_bundle(api: Api) -> None:
    worker = api.make_worker()
    api.patch(f"/workers/{worker['id']}", {"source_code": ECHO + "# more\n"})
    deploy(api, worker["id"], {"main.py": ECHO, "b.py": ""})
    [changed] = diff_of(api, worker, 1, 2)["files"]
    assert (changed["path"], changed["added_lines"], changed["removed_lines"]) == ("main.py", 1, 0)
    assert [file["path"] for file in diff_of(api, worker, 1, 3)["files"]] == ["b.py"]


def test_large_files_are_named_without_a_diff_and_the_answer_is_bounded(api: Api) -> None:
    worker = api.make_worker()
    texts: dict[str, str | bytes] = {f"t{n:02}": "x" * 99 + "\n" for n in range(8)}
    deploy(api, worker["id"], {"main.py": ECHO, "large": "a" * 256 * 1024} | texts)
    grown = {name: f"{n}\n" * 120_000 for n, name in enumerate(texts)}
    many: dict[str, str | bytes] = {f"z{n:03}": "" for n in range(600)}
    deploy(api, worker["id"], {"main.py": ECHO, "large": "b" * (256 * 1024 + 1)} | grown | many)
    found = diff_of(api, worker, 2, 3)
    assert (found["total"], len(found["files"]), found["truncated"]) == (609, 500, True)
    files = {file["path"]: file for file in found["files"]}
    assert (files["large"]["omitted"], files["large"]["diff"]) == ("too_large", None)
    shown = [file for file in found["files"] if file["diff"]]
    full = [file for file in found["files"] if file["omitted"] == "answer_full"]
    assert 1 <= len(shown) < len(texts)
    assert {file["added_lines"] for file in full} == {120_000}
    assert sum(len(file["diff"]) for file in shown) < 1_100_000


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({}, {"from", "to"}),
        ({"from": "1"}, {"to"}),
        ({"from": "0", "to": "x"}, {"from", "to"}),
        ({"from": "1", "to": "1000000000"}, {"to"}),
        ({"from": "1", "to": "2", "path": "a"}, {"path"}),
    ],
)
def test_a_bad_comparison_is_refused_by_name(api: Api, query: dict[str, str], fields: set[str]) -> None:
    assert fields_of(api.get(f"/workers/{UNKNOWN}/diff", **query)).keys() == fields


def test_a_bad_window_or_path_is_refused_by_name(api: Api) -> None:
    path = f"/workers/{UNKNOWN}/versions/1/files"
    assert fields_of(api.get(path, limit="0", after="")).keys() == {"limit", "after"}
    assert fields_of(api.get(path, limit="2001", after="a\0")).keys() == {"limit", "after"}
    assert fields_of(api.get(f"{path}/content")).keys() == {"path"}
    assert fields_of(api.get(f"{path}/content", path="x" * 1025)).keys() == {"path"}


def test_what_is_not_there_is_not_found_nor_is_anothers(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], FIRST)
    stranger = api.having(tenant=api.tenant + "x")
    path = f"/workers/{worker['id']}/versions"
    for response in (
        api.get(f"{path}/3/files"),
        api.get(f"{path}/2/files/content", path="lib"),
        api.get(f"{path}/2/files/content", path="../main.py"),
        api.get(f"{path}/2/files/content", path="/etc/passwd"),
        api.get(f"/workers/{worker['id']}/diff", **{"from": "1", "to": "3"}),
        stranger.get(f"{path}/2/files"),
        stranger.get(f"{path}/2/files/content", path="main.py"),
        stranger.get(f"/workers/{worker['id']}/diff", **{"from": "1", "to": "2"}),
    ):
        error_of(response, 404, "resource_not_found")
