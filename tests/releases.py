"""Earlier releases of Runwright, taken from the history of this repository.

`migrations/releases.toml` names the commit of each. Its files are read with git, and its code is installed
from its own lock into an environment of its own, once per checkout.
"""

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from runwright.db.migrator import Release, bundled_releases

ROOT: Final = Path(__file__).parent.parent
MIGRATIONS: Final = "src/runwright/db/migrations"
INSTALLED: Final = ROOT / ".venv" / "releases"
"""In .venv, so that `make clean` removes it."""


def last_release() -> Release:
    """The release that processes of this version share a database with during a rollout."""
    return bundled_releases()[-1]


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.fail(
            f"git {arguments[0]} failed: {done.stderr.decode().strip()}. This test needs the repository with the"
            " history of its releases: in a shallow clone run `git fetch --unshallow`."
        )
    return done.stdout


@cache
def files_of(commit: str, path: str = ".") -> dict[str, bytes]:
    """The files of a commit below a path, by their names."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, path))) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def installed_release(release: Release) -> Path:
    """Return the `runwright` program of a release, after installing it where it is not there yet."""
    folder = INSTALLED / release.version
    program, done = folder / "venv" / "bin" / "runwright", folder / f"installed-{release.commit}"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / f"{release.version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(release, folder)
            done.touch()
    return program


def _install(release: Release, folder: Path) -> None:
    source, python = folder / "source", folder / "venv" / "bin" / "python"
    for name, content in files_of(release.commit).items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    install = ("pip", "install", "--quiet", "--python", str(python))
    uv(*install, "--require-hashes", "--requirement", str(source / "requirements" / "lock.txt"))
    uv(*install, "--no-deps", "--no-build-isolation", "--editable", str(source))


def built_wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, built into a folder."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=project, check=True, capture_output=True, timeout=300)
    [wheel] = folder.iterdir()
    return wheel


def uv(*arguments: str) -> None:
    """Run uv, which installs from the registry that this machine is set up with."""
    program = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program is not None
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
