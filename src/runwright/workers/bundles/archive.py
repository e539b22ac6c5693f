"""A bundle: the files of an archive, spooled one after the other into an unnamed temporary file.

Reading an archive writes to no path of this host: members become entries of an index, their
content bytes of the spool. From there they are written in the canonical form.
"""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from runwright.workers.bundles.members import (
    COPY_BYTES,
    ArchiveError,
    ArchiveLimits,
    Member,
    MemberKind,
    RawMember,
    checked_members,
)
from runwright.workers.bundles.tar import BLOCK, END, ByteSource, canonical_header, tar_members
from runwright.workers.bundles.zip import zip_members

_ZIP: Final = (b"PK\3\4", b"PK\5\6")
_GZIP: Final = b"\x1f\x8b"
_FROM_A_MAC: Final = ("__MACOSX/", "._", ".DS_Store")


class SpooledFile(msgspec.Struct, frozen=True):
    """Where a file's content is in the spool, or the target of a link."""

    offset: int
    size: int
    executable: bool
    target: str | None = None


class Bundle:
    """The files of an archive. To be closed, which deletes the spool."""

    def __init__(self, files: dict[str, SpooledFile], spool: IO[bytes]) -> None:
        self.files = files
        self._spool = spool

    @property
    def size_bytes(self) -> int:
        """The total size of the files."""
        return sum(stored.size for stored in self.files.values())

    def read(self, path: str, *, at_most: int) -> bytes | None:
        """Return the beginning of a file; None where there is no such file."""
        stored = self.files.get(path)
        if stored is None or stored.target is not None:
            return None
        self._spool.seek(stored.offset)
        return self._spool.read(min(stored.size, at_most))

    def sole_folder(self) -> str | None:
        """Return the name of the only top-level folder, if it contains all files."""
        tops = {path.partition("/")[0] for path in self.files}
        whole = len(tops) == 1 and all("/" in path for path in self.files)
        return tops.pop() if whole else None

    def within(self, folder: str) -> "Bundle":
        """Return the bundle of the files in the only top-level folder; it shares the spool."""
        start = len(folder) + 1
        return Bundle({path[start:]: stored for path, stored in self.files.items()}, self._spool)

    def canonical(self) -> Iterator[bytes]:
        """Yield the canonical archive: sorted, without times and owners, equal for equal files."""
        for path in sorted(self.files):
            stored = self.files[path]
            kind = MemberKind.FILE if stored.target is None else MemberKind.LINK
            yield canonical_header(
                path,
                kind=kind,
                executable=stored.executable,
                size=stored.size,
                target=stored.target or "",
            )
            self._spool.seek(stored.offset)
            left = stored.size
            while left:
                chunk = self._spool.read(min(left, COPY_BYTES))
                if not chunk:
                    raise OSError("the spool of a bundle is too short")
                left -= len(chunk)
                yield chunk
            yield bytes(-stored.size % BLOCK)
        yield END

    def close(self) -> None:
        """Delete the spool."""
        self._spool.close()


def collect_bundle(archive: IO[bytes], limits: ArchiveLimits, *, spool_dir: Path) -> Bundle:
    """Read a `.zip` or `.tar.gz`, recognized by its first bytes; ArchiveError describes what is wrong."""
    start = archive.read(4)
    archive.seek(0)
    if start in _ZIP:
        raw = zip_members(archive, most_members=2 * limits.files)
    elif start.startswith(_GZIP):
        raw = tar_members(Gunzip(archive), most_headers=8 * limits.files)
    else:
        raise ArchiveError("The bundle is neither a .zip nor a .tar.gz archive.")
    members = checked_members(raw, limits, archive.tell)
    return _spooled((m for m in members if not _is_from_a_mac(m.path)), spool_dir)


def collect_tar(stream: ByteSource, limits: ArchiveLimits, *, spool_dir: Path) -> Bundle:
    """Read a plain tar from a stream, as a build produces it; it may be empty."""
    return _spooled(tar_stream_members(stream, limits), spool_dir, may_be_empty=True)


def tar_stream_members(stream: ByteSource, limits: ArchiveLimits) -> Iterator[Member]:
    """Yield the members of a plain tar archive; ArchiveError where one breaks the rules."""
    raw: Iterator[RawMember] = tar_members(stream, most_headers=8 * limits.files)
    return checked_members(raw, limits, lambda: limits.unpacked_bytes)


def _spooled(members: Iterator[Member], spool_dir: Path, *, may_be_empty: bool = False) -> Bundle:
    files: dict[str, SpooledFile] = {}
    offset = 0
    spool = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115  the bundle closes it
    try:
        for member in members:
            size = sum(map(spool.write, member.chunks))
            if member.kind is MemberKind.LINK:
                files[member.path] = SpooledFile(offset, 0, executable=False, target=member.target)
            elif member.kind is MemberKind.FILE:
                files[member.path] = SpooledFile(offset, size, executable=member.executable)
            offset += size
    except BaseException:
        spool.close()
        raise
    if not files and not may_be_empty:
        spool.close()
        raise ArchiveError("The bundle holds no files.")
    return Bundle(files, spool)


def _is_from_a_mac(path: str) -> bool:
    """Return whether a member is one of those that Finder adds to every archive."""
    return path.startswith(_FROM_A_MAC[0]) or path.rpartition("/")[2].startswith(_FROM_A_MAC[1:])


class Gunzip:
    """Decompresses one gzip member as a stream; anything after it is refused."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._over = False

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        while not self._over:
            packed = self._machine.unconsumed_tail or self._packed.read(COPY_BYTES)
            try:
                data = self._machine.decompress(packed, size)
            except zlib.error:
                raise ArchiveError("The archive is damaged: it cannot be unpacked.") from None
            if self._machine.eof:
                self._over = True
                if self._machine.unused_data or self._packed.read(1):
                    raise ArchiveError("The archive holds something after its end.")
            elif not packed and not data:
                raise ArchiveError("The archive ends too early; it is truncated.")
            if data:
                return data
        return b""
