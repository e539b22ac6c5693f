"""The members of an archive, and the rules that each of them is checked against.

Readers of formats (`tar`, `zip`) yield raw members; `checked_members` turns them into members whose
path is plain, unique and inside the archive, and counts what they unpack to. A member that breaks
a rule is an ArchiveError, whose message names the member and the reason.
"""

import posixpath
import unicodedata
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

COPY_BYTES: Final = 256 * 1024
PATH_BYTES: Final = 1024
PART_BYTES: Final = 255
DEPTH: Final = 64
_SHOWN_CHARACTERS: Final = 120
_RATIO: Final = 200
"""Unpacked to packed bytes; ordinary text stays below 20."""

_RATIO_FROM_BYTES: Final = 16 * 1024 * 1024
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, formatting (bidirectional, zero width), surrogates, line and paragraph separators."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, but parts of words in some languages, and of emoji."""

_SETUID: Final = 0o6000
_EXECUTABLE: Final = 0o111


class ArchiveError(Exception):
    """An archive is refused; the message is a sentence for the user who packed it."""


class MemberKind(StrEnum):
    """The kinds of members."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


class ArchiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an archive may unpack to."""

    unpacked_bytes: int
    files: int


STORED: Final = ArchiveLimits(unpacked_bytes=1 << 40, files=10_000_000)
"""For stored archives: they were within the limits of their time, which may have been lowered since."""


class RawMember(msgspec.Struct, frozen=True):
    """A member as it is in the archive."""

    name: bytes
    kind: MemberKind
    mode: int
    size: int
    chunks: Iterator[bytes]
    target: bytes = b""


class Member(msgspec.Struct, frozen=True):
    """A member that may be unpacked. `chunks` must be consumed before the next member is requested."""

    path: str
    kind: MemberKind
    executable: bool
    chunks: Iterator[bytes]
    target: str = ""


def refuse(name: bytes | str, reason: str) -> ArchiveError:
    """Return the error for a member that breaks a rule."""
    text = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    return ArchiveError(f'The member "{shown(text)}" {reason}.')


def shown(text: str) -> str:
    """Return a name that is safe to display: short, and without invisible characters."""
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    ).replace('"', '\\"')


def checked_members(
    raw: Iterator[RawMember], limits: ArchiveLimits, packed_bytes: Callable[[], int]
) -> Iterator[Member]:
    """Yield the members that may be unpacked; `packed_bytes` returns how much of the archive was read."""
    tree = _Tree(limits)
    counter = _Counter(limits, packed_bytes)
    for member in raw:
        path = plain_path(member.name, folder=member.kind is MemberKind.FOLDER)
        if not path:
            continue
        target = ""
        if member.kind is MemberKind.LINK:
            target = _link_target(path, member)
        if member.kind is MemberKind.FILE and member.mode & _SETUID:
            raise refuse(path, "has a setuid or setgid bit")
        if member.kind is MemberKind.FILE and member.size > limits.unpacked_bytes:
            raise counter.too_large(path)
        tree.add(path, member.kind)
        chunks = counter.count(path, member.chunks)
        yield Member(path, member.kind, bool(member.mode & _EXECUTABLE), chunks, target)
        for _ in chunks:  # what the consumer has not read
            pass


def plain_path(name: bytes, *, folder: bool = False) -> str:
    """Return a member's name as a plain relative path; empty for the archive's own root."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise refuse(name, "has a name that is not UTF-8") from None
    if _has_hidden(text):
        raise refuse(text, "has control or invisible characters in its name")
    if text.startswith("/"):
        raise refuse(text, "has an absolute path")
    path = text.removesuffix("/") if folder else text
    while path.startswith("./"):
        path = path[2:]
    if path in {"", "."} and folder:
        return ""
    parts = path.split("/")
    if ".." in parts:
        raise refuse(text, "has a '..' in its path")
    if any(part in {"", "."} for part in parts):
        raise refuse(text, "has an empty or '.' part in its path")
    _check_lengths(text, parts)
    return path


def _check_lengths(text: str, parts: list[str]) -> None:
    if len(text.encode()) > PATH_BYTES or any(len(part.encode()) > PART_BYTES for part in parts):
        raise refuse(text, f"has too long a name (at most {PATH_BYTES} bytes, {PART_BYTES} between slashes)")
    if len(parts) > DEPTH:
        raise refuse(text, f"lies too deep (at most {DEPTH} levels)")


def _has_hidden(text: str) -> bool:
    return any(unicodedata.category(one) in _HIDDEN and one not in _JOINERS for one in text)


def _link_target(path: str, member: RawMember) -> str:
    """Return where a symbolic link leads: relative, and inside of the archive."""
    try:
        target = member.target.decode()
    except UnicodeDecodeError:
        raise refuse(path, "links to a name that is not UTF-8") from None
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    out = target.startswith("/") or inside == ".." or inside.startswith("../")
    # After a name, '..' may lead outside through another link.
    winds = ".." in target.lstrip("./").split("/")
    if not target or _has_hidden(target) or out or winds or "\\" in target or len(member.target) > PATH_BYTES:
        raise refuse(path, "links to something outside of the archive")
    return target


class _Tree:
    """All paths so far, so that none occurs twice and none is below a file or a link."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._paths: dict[str, MemberKind] = {}
        self._files = self._folders = 0

    def add(self, path: str, kind: MemberKind) -> None:
        end = path.find("/")
        while end >= 0:
            self._add_one(path[:end], MemberKind.FOLDER, path)
            end = path.find("/", end + 1)
        self._add_one(path, kind, path)

    def _add_one(self, path: str, kind: MemberKind, member: str) -> None:
        known = self._paths.get(path)
        if known is None:
            self._count(kind)
            self._paths[path] = kind
        elif kind is not MemberKind.FOLDER and known is not MemberKind.FOLDER:
            raise refuse(member, "occurs twice")
        elif kind is not known:
            raise refuse(member, f'makes "{shown(path)}" a folder and something else at once')

    def _count(self, kind: MemberKind) -> None:
        if kind is MemberKind.FOLDER:
            self._folders += 1
        else:
            self._files += 1
        if max(self._files, self._folders) > self._limits.files:
            what = "folders" if kind is MemberKind.FOLDER else "files"
            raise ArchiveError(f"The archive holds more than {self._limits.files} {what}.")


class _Counter:
    """Counts the bytes that were really unpacked, independent of the headers."""

    def __init__(self, limits: ArchiveLimits, packed_bytes: Callable[[], int]) -> None:
        self._limit = limits.unpacked_bytes
        self._packed_bytes = packed_bytes
        self._total = 0

    def count(self, path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._total += len(chunk)
            if self._total > self._limit:
                raise self.too_large(path)
            if self._total > _RATIO_FROM_BYTES and self._total > _RATIO * self._packed_bytes():
                raise refuse(path, f"unpacks to more than {_RATIO} times its packed size")
            yield chunk

    def too_large(self, path: str) -> ArchiveError:
        return refuse(path, f"brings the archive to more than {self._limit} bytes unpacked")
