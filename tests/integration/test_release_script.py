"""`scripts/release` in a copy of the repository: what it changes, commits, tags and builds, and what it refuses."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from runwright.db.migrator import Release, bundled_migrations, bundled_releases, digest_of
from tests.releases import ROOT

Done = subprocess.CompletedProcess[str]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commit of the files as they are here, in a repository of its own."""
    folder = tmp_path_factory.mktemp("release") / "copy"
    for name in git(ROOT, "ls-files").splitlines():
        if (ROOT / name).is_file() and not name.startswith("docs/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text("# The site, which is built elsewhere as a whole\n")
    (folder / "mkdocs.yml").write_text("site_name: Runwright\n")
    dashboard = Path("src", "runwright", "web", "built")  # which `make setup` has made, and git ignores
    shutil.copytree(ROOT / dashboard, folder / dashboard)
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Releaser")
    git(folder, "config", "user.email", "releaser@example.com")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "before")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return folder


def release(folder: Path, *arguments: str) -> Done:
    # The link to the interpreter has no packages of its own.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    return subprocess.run(
        [sys.executable, folder / "scripts" / "release", *arguments],
        env=os.environ | {"PYTHONPATH": packages},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_dry_run_changes_nothing(copy: Path) -> None:
    done = release(copy, "99.0.0", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would change CHANGELOG.md" in done.stdout
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "tag") == ""
    assert not (copy / "dist").exists()


@pytest.mark.parametrize(
    ("version", "complaint"),
    [("0.0.1", "not newer"), ("next", "not a version"), ("88.0.0", "tag v88.0.0 exists")],
)
def test_a_version_that_cannot_be_is_refused(copy: Path, version: str, complaint: str) -> None:
    git(copy, "tag", "--force", "v88.0.0")
    done = release(copy, version)
    git(copy, "tag", "--delete", "v88.0.0")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert git(copy, "log", "--format=%s") == "before"


def test_uncommitted_changes_are_refused(copy: Path) -> None:
    (copy / "README.md").write_text("half done")
    done = release(copy, "99.0.0")
    git(copy, "checkout", "README.md")
    assert done.returncode == 1
    assert "not committed" in done.stderr


@pytest.mark.timeout(400)
def test_a_release_is_one_commit_with_a_tag_and_built_files(copy: Path) -> None:
    before = git(copy, "rev-parse", "HEAD")
    done = release(copy, "99.0.0")
    assert done.returncode == 0, done.stderr
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "log", "--format=%s") == "Release 99.0.0\nbefore"
    assert git(copy, "describe", "--exact-match") == "v99.0.0"
    changed = git(copy, "show", "--format=", "--name-only", "HEAD").splitlines()
    assert sorted(changed) == [
        "CHANGELOG.md",
        "clients/typescript/package-lock.json",
        "clients/typescript/package.json",
        "pyproject.toml",
        "src/runwright/__init__.py",
        "src/runwright/db/migrations/releases.toml",
    ]
    changelog = (copy / "CHANGELOG.md").read_text()
    assert changelog.index("## Unreleased\n\n## 99.0.0 (") > 0
    files = bundled_migrations()
    mine = Release(version="99.0.0", commit=before, schema=len(files), digest=digest_of(files))
    listed = subprocess.run(
        [sys.executable, "-c", "from runwright.db.migrator import bundled_releases as r; print(r())"],
        env=os.environ | {"PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert listed == repr([*bundled_releases(), mine])
    with zipfile.ZipFile(copy / "dist" / "runwright-99.0.0-py3-none-any.whl") as wheel:
        assert "runwright/db/migrations/releases.toml" in wheel.namelist()
    with zipfile.ZipFile(copy / "dist" / "runwright_client-99.0.0-py3-none-any.whl") as wheel:
        assert "runwright_client/tree/runwright/client/__init__.py" in wheel.namelist()
    with tarfile.open(copy / "dist" / "runwright-99.0.0.tar.gz") as archive:
        assert "runwright-99.0.0/pyproject.toml" in archive.getnames()
