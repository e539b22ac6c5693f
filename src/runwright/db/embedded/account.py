"""The system user that PostgreSQL runs as, and which folders that user can access.

PostgreSQL refuses to run as root. Under root it runs as a dedicated system user without home or
shell, otherwise as the current user.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from runwright.core.errors import RunwrightError

USER_NAME: Final = "runwright-pg"
_NO_LOGIN: Final = "/usr/sbin/nologin"


class EmbeddedError(RunwrightError):
    """The embedded PostgreSQL cannot be used here; the message says what would help."""

    code = "embedded_database"


class Account(msgspec.Struct, frozen=True):
    """The user that PostgreSQL runs as; `switch` is true where that is not the current user."""

    uid: int
    gid: int
    switch: bool

    def own(self, path: Path) -> None:
        """Make this user the owner of a file or folder that we have just created."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, folder: Path) -> bool:
        """Return whether this user can traverse one folder (ignoring its parents)."""
        if not self.switch:
            return True
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)

    def first_closed(self, folder: Path) -> Path | None:
        """Return the first folder on the path to and including `folder` that this user cannot traverse."""
        folder = folder.resolve()
        way = [*reversed(folder.parents), folder]
        return next((step for step in way if not self.may_enter(step)), None)


def postgres_account() -> Account:
    """Return the user to run PostgreSQL as; root creates it where it is missing."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    entry = _look_up()
    if entry is None:
        problem = _make_user()
        entry = _look_up()  # another process may have created it meanwhile
        if entry is None:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and a system user {USER_NAME!r} could not be created "
                f"({problem}). Run Runwright as another user, create that user yourself "
                f"(useradd --system --shell {_NO_LOGIN} {USER_NAME}), or set RUNWRIGHT_DATABASE_URL."
            )
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def _look_up() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(USER_NAME)
    except KeyError:
        return None


def _make_user() -> str:
    """Create the user with useradd or adduser; return what went wrong, for the message."""
    useradd = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    recipes = ([*useradd, "--shell", _NO_LOGIN, USER_NAME], ["adduser", "-S", "-D", "-H", USER_NAME])
    problem = "neither useradd nor adduser is installed"
    for command in recipes:
        program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
        if program is None:
            continue
        done = subprocess.run(
            [program, *command[1:]], check=False, capture_output=True, text=True, timeout=30, cwd="/"
        )
        if done.returncode == 0:
            return ""
        problem = done.stderr.strip() or f"{command[0]} exited with {done.returncode}"
    return problem
