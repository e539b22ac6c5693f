"""Unpacking a canonical archive into a folder of this host.

The folder is new, private to this process, and gets its final path only when it is complete.
Members are checked by the same rules as those of an uploaded archive. Links are made last, so that
nothing is ever written through one. Files are readable by all users and writable only by this one.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runwright.workers.bundles.archive import tar_stream_members
from runwright.workers.bundles.members import ArchiveLimits, MemberKind
from runwright.workers.bundles.tar import ByteSource

_BLOCK: Final = 4096


class Unpacked(msgspec.Struct, frozen=True):
    """How many files were unpacked, and their approximate size on disk."""

    files: int
    disk_bytes: int


def unpack(archive: ByteSource, into: Path, limits: ArchiveLimits, *, group: int | None = None) -> Unpacked:
    """Unpack a plain tar into an empty folder; after an ArchiveError or OSError it is incomplete.

    `group` may write to the files and folders, and they belong to it.
    """
    files, disk = 0, _BLOCK
    links: list[tuple[str, str]] = []
    folders = {""}
    paths: list[str] = []
    for member in tar_stream_members(archive, limits):
        disk += _make_folders(
            into, member.path if member.kind is MemberKind.FOLDER else _parent(member.path), folders
        )
        if member.kind is MemberKind.LINK:
            links.append((member.path, member.target))
            disk += _BLOCK
        elif member.kind is MemberKind.FILE:
            paths.append(f"{into}/{member.path}")
            size = _write(f"{into}/{member.path}", member.chunks, executable=member.executable)
            disk += _BLOCK - (-size // _BLOCK) * _BLOCK
        files += member.kind is not MemberKind.FOLDER
    for path, target in links:
        (into / path).symlink_to(target)
    into.chmod(0o755)
    if group is not None:
        _give_to(group, [*paths, *(str(into / folder) for folder in folders)])
    return Unpacked(files, disk)


def _give_to(group: int, paths: list[str]) -> None:
    for path in paths:
        os.chown(path, -1, group)
        mode = os.stat(path).st_mode  # noqa: PTH116  a bundle may have ten thousand files
        os.chmod(path, mode | 0o020)  # noqa: PTH101  as above


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _make_folders(into: Path, path: str, made: set[str]) -> int:
    """Make a folder and its parents; return their size on disk."""
    if path in made:
        return 0
    above = _make_folders(into, _parent(path), made)
    folder = into / path
    folder.mkdir()
    folder.chmod(0o755)
    made.add(path)
    return above + _BLOCK


def _write(path: str, chunks: Iterator[bytes], *, executable: bool) -> int:
    """Write a new file with few system calls, for a bundle may have ten thousand; return its size."""
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
