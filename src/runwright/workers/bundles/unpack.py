"""Unpacking a canonical archive into a folder of this host.

The folder is new, ours alone, and gets its final place only when all of it is there. Members keep
the same rules as those of an archive that a stranger sent. Links are made last, so that nothing
is ever written through one. Files are readable by everyone and writable by nobody but us.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runwright.workers.bundles.archive import tar_stream_members
from runwright.workers.bundles.members import Kind, Limits
from runwright.workers.bundles.tar import Source

_BLOCK: Final = 4096


class Unpacked(msgspec.Struct, frozen=True):
    """What was unpacked, and what it takes on the disk, about."""

    files: int
    disk_bytes: int


def unpack(archive: Source, into: Path, limits: Limits) -> Unpacked:
    """Unpack a plain tar into an empty folder; ArchiveError or OSError leave it half full."""
    files, disk = 0, _BLOCK
    links: list[tuple[str, str]] = []
    folders = {""}
    for member in tar_stream_members(archive, limits):
        disk += _make_folders(
            into, member.path if member.kind is Kind.FOLDER else _parent(member.path), folders
        )
        if member.kind is Kind.LINK:
            links.append((member.path, member.target))
            disk += _BLOCK
        elif member.kind is Kind.FILE:
            size = _write(f"{into}/{member.path}", member.chunks, executable=member.executable)
            disk += _BLOCK - (-size // _BLOCK) * _BLOCK
        files += member.kind is not Kind.FOLDER
    for path, target in links:
        (into / path).symlink_to(target)
    into.chmod(0o755)
    return Unpacked(files, disk)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _make_folders(into: Path, path: str, made: set[str]) -> int:
    """Make a folder and those above it; return what they take."""
    if path in made:
        return 0
    above = _make_folders(into, _parent(path), made)
    folder = into / path
    folder.mkdir()
    folder.chmod(0o755)
    made.add(path)
    return above + _BLOCK


def _write(path: str, chunks: Iterator[bytes], *, executable: bool) -> int:
    """Write a new file by the fewest system calls; a bundle may have ten thousand. Return its size."""
    size = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for chunk in chunks:
            written = os.write(fd, chunk)
            while written < len(chunk):
                written += os.write(fd, chunk[written:])
            size += len(chunk)
        os.fchmod(fd, 0o755 if executable else 0o644)
    finally:
        os.close(fd)
    return size
