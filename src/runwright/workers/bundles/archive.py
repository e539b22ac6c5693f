"""A bundle: the files of an archive, spooled one after the other into a file without a name.

Nothing of an archive touches a path of this host while it is read: members become entries of an
index, their content bytes of the spool. From there they are written in the canonical form.
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
    Kind,
    Limits,
    Member,
    RawMember,
    admitted,
)
from runwright.workers.bundles.tar import BLOCK, END, Source, canonical_header, tar_members
from runwright.workers.bundles.zip import zip_members

_ZIP: Final = (b"PK\3\4", b"PK\5\6")
_GZIP: Final = b"\x1f\x8b"
_FROM_A_MAC: Final = ("__MACOSX/", "._", ".DS_Store")


class Stored(msgspec.Struct, frozen=True):
    """Where in the spool a file's content lies, or where a link leads."""

    offset: int
    size: int
    executable: bool
    target: str | None = None


class Bundle:
    """The files of an archive. Close it to let go of its spool."""

    def __init__(self, files: dict[str, Stored], spool: IO[bytes]) -> None:
        self.files = files
        self._spool = spool

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(stored.size for stored in self.files.values())

    def read(self, path: str, *, at_most: int) -> bytes | None:
        """Return the beginning of a file; None where there is no such file."""
        stored = self.files.get(path)
        if stored is None or stored.target is not None:
            return None
        self._spool.seek(stored.offset)
        return self._spool.read(min(stored.size, at_most))

    def sole_folder(self) -> str | None:
        """Return the name of the folder that everything is in, where there is one."""
        tops = {path.partition("/")[0] for path in self.files}
        whole = len(tops) == 1 and all("/" in path for path in self.files)
        return tops.pop() if whole else None

    def within(self, folder: str) -> "Bundle":
        """Return the bundle of what is in a folder that everything is in; it shares the spool."""
        start = len(folder) + 1
        return Bundle({path[start:]: stored for path, stored in self.files.items()}, self._spool)

    def canonical(self) -> Iterator[bytes]:
        """Yield the canonical archive: sorted, without times and owners, equal for equal files."""
        for path in sorted(self.files):
            stored = self.files[path]
            kind = Kind.FILE if stored.target is None else Kind.LINK
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
        """Give the spool back."""
        self._spool.close()


def collect_bundle(archive: IO[bytes], limits: Limits, *, spool_dir: Path) -> Bundle:
    """Read a `.zip` or `.tar.gz`, told apart by their first bytes; ArchiveError says what is wrong."""
    start = archive.read(4)
    archive.seek(0)
    if start in _ZIP:
        raw = zip_members(archive, most_members=2 * limits.files)
    elif start.startswith(_GZIP):
        raw = tar_members(Gunzip(archive), most_headers=8 * limits.files)
    else:
        raise ArchiveError("The bundle is neither a .zip nor a .tar.gz archive.")
    members = admitted(raw, limits, archive.tell)
    return _spooled((m for m in members if not _is_from_a_mac(m.path)), spool_dir)


def collect_tar(stream: Source, limits: Limits, *, spool_dir: Path) -> Bundle:
    """Read a plain tar from a stream, as a build gives it out; it may hold nothing at all."""
    return _spooled(tar_stream_members(stream, limits), spool_dir, may_be_empty=True)


def tar_stream_members(stream: Source, limits: Limits) -> Iterator[Member]:
    """Yield the members of a plain tar archive that keep the rules."""
    raw: Iterator[RawMember] = tar_members(stream, most_headers=8 * limits.files)
    return admitted(raw, limits, lambda: limits.unpacked_bytes)


def _spooled(members: Iterator[Member], spool_dir: Path, *, may_be_empty: bool = False) -> Bundle:
    files: dict[str, Stored] = {}
    spool = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115  the bundle closes it
    try:
        for member in members:
            offset = spool.tell()
            for chunk in member.chunks:
                spool.write(chunk)
            if member.kind is Kind.LINK:
                files[member.path] = Stored(offset, 0, executable=False, target=member.target)
            elif member.kind is Kind.FILE:
                files[member.path] = Stored(offset, spool.tell() - offset, executable=member.executable)
    except BaseException:
        spool.close()
        raise
    if not files and not may_be_empty:
        spool.close()
        raise ArchiveError("The bundle holds no files.")
    return Bundle(files, spool)


def _is_from_a_mac(path: str) -> bool:
    """Tell whether a member is what Finder adds to every archive."""
    return path.startswith(_FROM_A_MAC[0]) or path.rpartition("/")[2].startswith(_FROM_A_MAC[1:])


class Gunzip:
    """Unpacks one gzip member forwards; anything after it is refused."""

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
