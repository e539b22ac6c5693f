"""Which system user PostgreSQL runs as, and what that user can reach.

PostgreSQL refuses to run as root. Under root it gets a system user of its own, without home or
shell; otherwise it runs as whoever we are.
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
    """The user that PostgreSQL runs as. `switch` says whether that is another one than ours."""

    uid: int
    gid: int
    switch: bool

    def own(self, path: Path) -> None:
        """Give a file or folder that we have just made to this user."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, folder: Path) -> bool:
        """Tell whether this user can pass through one folder (ignoring its parents)."""
        if not self.switch:
            return True
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)

    def first_closed(self, folder: Path) -> Path | None:
        """Return the first folder on the way to and including `folder` that keeps this user out."""
        folder = folder.resolve()
        way = [*reversed(folder.parents), folder]
        return next((step for step in way if not self.may_enter(step)), None)


def postgres_account() -> Account:
    """Return the user to run PostgreSQL as; as root it is made where it is missing."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    entry = _look_up()
    if entry is None:
        problem = _make_user()
        entry = _look_up()  # another process may have been quicker: what counts is that it is there
        if entry is None:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and a system user {USER_NAME!r} could not be made "
                f"({problem}). Run Runwright as another user, make that user yourself "
                f"(useradd --system --shell {_NO_LOGIN} {USER_NAME}), or set RUNWRIGHT_DATABASE_URL."
            )
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def _look_up() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(USER_NAME)
    except KeyError:
        return None


def _make_user() -> str:
    """Make the user with whichever tool there is; return what went wrong, for the message."""
    useradd = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    recipes = ([*useradd, "--shell", _NO_LOGIN, USER_NAME], ["adduser", "-S", "-D", "-H", USER_NAME])
    problem = "neither useradd nor adduser is here"
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
