"""The files of the embedded PostgreSQL, and how its user accesses them.

    DATA_DIR/                ours; created with mode 0711 under root (others may traverse it), else 0700
      pg/                    the cluster, 0700, owned by PostgreSQL's user
      pg.socket/             its socket, 0700, the same owner
      pg.log, pg.log.1       its log
      pg.start.lock          held while starting or stopping it
      pg.users.lock          held, shared, by every process that uses it
      pg.server.lock         held by PostgreSQL itself, in all its processes

Existing folders are never changed. Where PostgreSQL's user cannot traverse a folder on the path,
the cluster is passed to it as an open directory, and the socket is in a short folder below the
system's temporary one, as it is where the path is too long for a socket.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from runwright.db.embedded.account import Account, EmbeddedError

DATABASE: Final = "runwright"
USER: Final = "runwright"
_SOCKET_PATH_LIMIT: Final = 107
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_LOG_LIMIT_BYTES: Final = 4 * 1024 * 1024


class Layout:
    """The paths of one data directory."""

    def __init__(self, data_dir: Path, account: Account) -> None:
        self.data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100  resolve() would follow links
        self.account = account
        self.cluster = self.data_dir / "pg"
        self.log = self.data_dir / "pg.log"
        self.start_lock = self.data_dir / "pg.start.lock"
        self.users_lock = self.data_dir / "pg.users.lock"
        self.server_lock = self.data_dir / "pg.server.lock"

    def make(self) -> None:
        """Create the data directory where it is missing."""
        if not self.data_dir.is_dir():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.data_dir.chmod(0o711 if self.account.switch else 0o700)

    @property
    def reachable(self) -> bool:
        """Return whether PostgreSQL's user can access the data directory by its path."""
        return self.account.first_closed(self.data_dir) is None

    @property
    def socket(self) -> Path:
        """Return the folder of the socket, which is the same for every process of this data directory."""
        inside = self.data_dir / "pg.socket"
        if self.reachable and len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir.resolve())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"runwright-pg-{digest}"

    def make_socket(self) -> None:
        """Create the socket's folder, or check that the existing one is ours and private."""
        folder = self.socket
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            self.account.own(folder)
        status = folder.lstat()
        private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700  # noqa: PLR2004
        if not private or status.st_uid != self.account.uid:
            raise EmbeddedError(
                f"{folder} should be PostgreSQL's private folder, but belongs to another user."
            )

    def dsn(self, database: str = DATABASE) -> str:
        """Return the address to connect to."""
        return f"postgresql:///{database}?{urlencode({'host': str(self.socket), 'user': USER})}"

    def rotate_log(self) -> None:
        """Rotate the log file when it is large, keeping one old file."""
        if not self.log.exists() or self.log.stat().st_size < _LOG_LIMIT_BYTES:
            return
        # Copied and truncated, not renamed: PostgreSQL keeps appending to its open file.
        with self.log.open("rb") as log:
            log.seek(-_LOG_LIMIT_BYTES, os.SEEK_END)
            self.log.with_suffix(".log.1").write_bytes(log.read())
        os.truncate(self.log, 0)

    def open_log(self) -> int:
        """Open the log file to append to."""
        self.rotate_log()
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def log_tail(self, lines: int = 5) -> str:
        """Return the last lines of the log, for an error message."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(-min(self.log.stat().st_size, 4096), os.SEEK_END)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
