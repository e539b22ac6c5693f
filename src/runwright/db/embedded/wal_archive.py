"""The archive of the embedded PostgreSQL, from which it is restored to any second.

    FOLDER/            of one data directory, owned by PostgreSQL's user, 0700
      wal/SEGMENT.gz   the write-ahead log, segment by segment, at the latest 60 s after a change
      base/TIME/       the database while it ran: base.tar.gz, backup_manifest; complete since TIME

A segment and a base appear complete or not at all: they are written under another name, flushed and renamed.
The data directory remembers its archive in a file, so that commands that start the database archive too;
without that, what they write would be missing. PostgreSQL keeps a segment until it has been archived: if the
folder cannot be written to, the database grows, and the log reports it.
"""

import json
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from runwright.db.embedded import postmaster as process
from runwright.db.embedded.account import Account, EmbeddedError
from runwright.db.embedded.binaries import find_programs
from runwright.db.embedded.layout import USER, Layout
from runwright.db.embedded.locks import FileLock

SEGMENT_SECONDS: Final = 60
KEPT_BASES: Final = 2
BASE_FILE: Final = "base.tar.gz"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_PART: Final = ".part"


class BaseBackup(msgspec.Struct, frozen=True):
    """A copy of the database from which the log is replayed."""

    folder: Path
    at: datetime
    """When it was complete: nothing before can be restored from it."""
    first_segment: str


class WalArchive(msgspec.Struct, frozen=True):
    """An archive in a folder."""

    folder: Path

    @property
    def wal(self) -> Path:
        return self.folder / "wal"

    @property
    def base(self) -> Path:
        return self.folder / "base"

    def make(self, account: Account) -> None:
        """Make the folders; EmbeddedError where PostgreSQL's user could not write there."""
        try:
            for folder in (self.folder, self.wal, self.base):
                if not folder.exists():
                    folder.mkdir(mode=0o700, parents=folder == self.folder)
                    account.own(folder)
        except OSError as error:
            raise EmbeddedError(f"wal_archive: {self.folder} cannot be made: {error.strerror}.") from None
        closed = account.first_closed(self.wal)
        if closed is not None:
            raise EmbeddedError(
                f"wal_archive: PostgreSQL's user may not enter {closed}; choose a folder whose parents have"
                " the mode 0711."
            )

    def settings(self) -> dict[str, str]:
        """Return the settings of PostgreSQL that archive here."""
        place = shlex.quote(str(self.wal)).replace("%", "%%")
        command = (
            f'f={place}/%f.gz; if test -f "$f"; then gzip -dc "$f" | cmp -s - %p;'
            ' else gzip -1 -n -c %p > "$f.part" && sync "$f.part" && mv "$f.part" "$f"; fi'
        )
        return {
            "archive_mode": "on",
            "archive_command": command,
            "archive_timeout": f"{SEGMENT_SECONDS}s",
        }

    def bases(self) -> list[BaseBackup]:
        """Return the complete bases, oldest first."""
        return [_base(one) for one in sorted(self.base.glob("*Z"))] if self.base.is_dir() else []

    def segments(self, first: str) -> list[Path]:
        """Return the archived files from a segment on, and the histories of all timelines."""
        found = sorted(self.wal.glob("*.gz"))
        return [one for one in found if one.name >= first or one.name.endswith(".history.gz")]

    def prune(self) -> int:
        """Delete all bases but the newest, and the segments that only these need; return how many files."""
        bases = self.bases()
        for old in bases[:-KEPT_BASES]:
            shutil.rmtree(old.folder)
        if len(bases) < KEPT_BASES:
            return 0
        first = bases[-KEPT_BASES].first_segment
        gone = [one for one in self.wal.glob("0*.gz") if one.name < first and ".history" not in one.name]
        for one in gone:
            one.unlink()
        return len(gone)


def _base(folder: Path) -> BaseBackup:
    ranges = json.loads((folder / "backup_manifest").read_bytes())["WAL-Ranges"]
    first = ranges[0]
    high, low = (int(part, 16) for part in first["Start-LSN"].split("/"))
    segment = f"{first['Timeline']:08X}{high:08X}{low >> 24:08X}"
    at = datetime.strptime(folder.name, _TIME).replace(tzinfo=UTC)
    return BaseBackup(folder, at, segment)


def _memory(layout: Layout) -> Path:
    return layout.data_dir / "wal-archive"


def remember(data_dir: Path, folder: Path | None) -> None:
    """Let the database of a data directory be archived in a folder from its next start on, or not at all."""
    file = data_dir / "wal-archive"
    if folder is None:
        file.unlink(missing_ok=True)
    else:
        data_dir.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(_PART)
        part.write_text(f"{folder.absolute()}\n")
        part.replace(file)


def archive_of(layout: Layout) -> WalArchive | None:
    """Return the archive of a data directory, if it has one."""
    try:
        return WalArchive(Path(_memory(layout).read_text().rstrip("\n")))
    except FileNotFoundError:
        return None


def take_base(layout: Layout, archive: WalArchive, shelter: Path) -> BaseBackup | None:
    """Copy the running database into its archive; None while another process does. EmbeddedError."""
    lock = FileLock(archive.folder / ".lock")
    try:
        if not lock.try_exclusive():
            return None
        for left in archive.base.glob(f"*{_PART}"):
            shutil.rmtree(left)
        part = archive.base / f"next{_PART}"
        _copy(layout, part, shelter)
        at = datetime.now(UTC) + timedelta(seconds=1)  # rounded up: restoring to less is refused
        folder = archive.base / at.strftime(_TIME)
        part.rename(folder)
        return _base(folder)
    finally:
        lock.close()


def _copy(layout: Layout, part: Path, shelter: Path) -> None:
    programs = find_programs(layout.account, (layout.data_dir, shelter))
    command = [
        str(programs / "pg_basebackup"),
        *(f"--host={layout.socket}", f"--username={USER}", "--no-password"),
        *(f"--pgdata={part}", "--format=tar", "--gzip", "--wal-method=fetch", "--checkpoint=fast"),
    ]
    status = process.run(command, layout, ())
    if status != 0:
        raise EmbeddedError(f"The copy of the database failed ({status}):\n{layout.log_tail()}")
