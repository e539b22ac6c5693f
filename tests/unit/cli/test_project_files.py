"""Which files an upload takes: never secrets and history, not what is installed, not what git ignores."""

import io
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from runwright.cli.exits import UsageError
from runwright.cli.project.archive import pack
from runwright.cli.project.files import MOST_BYTES, CodeFiles, find_files
from runwright.cli.project.model import ProjectWorker

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "main.py")
    return tmp_path


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def found(
    folder: Path, path: str = ".", *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> CodeFiles:
    worker = ProjectWorker(name="a", path=path, entrypoint="main.py", include=[*include], exclude=[*exclude])
    return find_files(folder, worker)


def taken(
    folder: Path, path: str = ".", *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[str]:
    return [file.path for file in found(folder, path, include=include, exclude=exclude).taken]


def test_history_secrets_keys_and_what_is_installed_stay_here(folder: Path) -> None:
    write(folder, ".git/config", ".env", ".env.local", "app/.env", "id_rsa", "tls.key", ".npmrc", ".netrc")
    write(
        folder, ".venv/bin/python", "node_modules/a/index.js", "__pycache__/a.pyc", "app/b.pyc", ".DS_Store"
    )
    write(folder, "app/b.py", ".env.example", "data.json", "runwright.toml", ".gitignore")
    assert taken(folder) == [".env.example", "app/b.py", "data.json", "main.py"]
    reasons = {one.path: one.reason for one in found(folder).left_out}
    assert (reasons[".env"], reasons["node_modules/"]) == ("never uploaded", "left out by default")
    assert "runwright.toml" not in reasons


def test_a_private_key_is_found_by_its_content(folder: Path) -> None:
    write(folder, "certs/server.pem", "config.txt", text=KEY)
    write(folder, "certs/ca.pem", text="-----BEGIN CERTIFICATE-----\n")
    assert taken(folder) == ["certs/ca.pem", "main.py"]


def test_nested_gitignore_files_are_obeyed_as_git_does(folder: Path) -> None:
    write(folder, ".gitignore", text="*.log\n/build\n!keep.log\n")
    write(folder, "app/.gitignore", text="!app.log\nsecret/\n")
    write(folder, "a.log", "keep.log", "build/x", "app/build/x", "app/app.log", "app/b.log", "app/secret/x")
    assert taken(folder) == ["app/app.log", "app/build/x", "keep.log", "main.py"]


def test_the_repository_above_counts_too(folder: Path) -> None:
    (folder / ".git").mkdir()
    write(folder, ".gitignore", text="workers/*/dist\n")
    write(folder, "workers/a/main.py", "workers/a/dist/x.js", "workers/a/lib/dist/y.js")
    assert taken(folder, "workers/a") == ["lib/dist/y.js", "main.py"]


def test_what_is_meant_is_included_but_never_a_secret(folder: Path) -> None:
    write(folder, "node_modules/a/index.js", "node_modules/.bin/x", "node_modules/a/.env", "dist/x.js")
    write(folder, ".gitignore", text="dist/\n")
    assert taken(folder, include=["node_modules/", "dist/", ".env"]) == [
        "dist/x.js",
        "main.py",
        "node_modules/.bin/x",
        "node_modules/a/index.js",
    ]
    assert taken(folder, include=["node_modules/a/"]) == ["main.py", "node_modules/a/index.js"]
    assert taken(folder, exclude=["node_modules", "dist"]) == ["main.py"]


def test_links_to_outside_are_left_out_and_those_inside_are_kept(folder: Path) -> None:
    write(folder, "a/real.txt")
    (folder / "inside.txt").symlink_to("a/real.txt")
    (folder / "folder").symlink_to("a")
    write(folder, ".venv/lib/x.py")
    (folder / "copied.py").symlink_to(".venv/lib/x.py")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "gone").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    assert taken(folder) == ["a/real.txt", "copied.py", "folder", "inside.txt", "main.py"]
    targets = {one.path: one.target for one in found(folder).taken if one.target is not None}
    assert targets == {"folder": "a", "inside.txt": "a/real.txt"}, "what is left out is copied"
    reasons = {one.path: one.reason for one in found(folder).left_out}
    assert reasons == {
        ".venv/": reasons[".venv/"],
        "gone": "a link to nothing",
        "passwd": "a link to outside the folder",
        "pipe": "not a regular file",
    }


def test_an_entrypoint_that_is_left_out_is_refused(folder: Path) -> None:
    write(folder, ".gitignore", text="*.py\n")
    with pytest.raises(UsageError, match=r"main\.py of a is left out of the upload: \.gitignore") as caught:
        found(folder)
    assert "include" in caught.value.hint


def test_a_script_with_windows_line_ends_is_warned_about(folder: Path) -> None:
    (folder / "run.sh").write_bytes(b"#!/bin/sh\r\necho\r\n")
    assert found(folder).warnings == ["run.sh has Windows line ends (CRLF), which shells do not understand."]


def test_an_archive_is_the_same_for_the_same_files_and_keeps_executable_bits(folder: Path) -> None:
    write(folder, "run.sh")
    (folder / "run.sh").chmod(0o755)
    first = pack(found(folder).taken)
    os.utime(folder / "main.py", (0, 0))
    assert pack(found(folder).taken) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        modes = {one.filename: stat.S_IMODE(one.external_attr >> 16) for one in archive.infolist()}
    assert modes == {"main.py": 0o644, "run.sh": 0o755}


def test_what_cannot_be_uploaded_is_left_out_with_its_reason(folder: Path) -> None:
    (folder / "circle").symlink_to("circle")
    (folder / "gone").symlink_to("nowhere")
    (folder / os.fsdecode(b"\xff.txt")).write_text("x")
    os.mkfifo(folder / "pipe")
    files = found(folder)
    assert [file.path for file in files.taken] == ["main.py"]
    reasons = {os.fsencode(one.path): one.reason for one in files.left_out}
    assert reasons == {
        b"circle": "a link to nothing",
        b"gone": "a link to nothing",
        b"pipe": "not a regular file",
        b"\xff.txt": "its name is not UTF-8",
    }


def test_a_gitignore_with_lines_that_are_no_patterns_is_obeyed_otherwise(folder: Path) -> None:
    write(folder, ".gitignore", text="!\ndata.json\n")
    write(folder, "data.json")
    assert taken(folder) == ["main.py"]


def test_files_that_no_server_takes_are_refused_before_they_are_read(folder: Path) -> None:
    with (folder / "model.bin").open("wb") as sparse:
        sparse.truncate(MOST_BYTES + 1)
    with pytest.raises(UsageError, match=r"has 1.1 GB of files"):
        found(folder)
    assert taken(folder, exclude=["*.bin"]) == ["main.py"]


def test_folders_in_one_another_have_an_end(folder: Path) -> None:
    write(folder, "/".join(["a"] * 70) + "/b.txt")
    with pytest.raises(UsageError, match="more than 64 folders in one another"):
        found(folder)
