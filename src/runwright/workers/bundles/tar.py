"""Tar archives: a strict reader, and the writer of the canonical form.

The reader accepts POSIX ustar and pax and GNU long names, and refuses everything else that a header
may contain: hard links, devices, sparse files, unknown types, and sizes that are ambiguous
between a pax record and a header. It reads a stream and never holds more than a header in memory.

The writer's output depends on paths, contents and executable bits alone, without times, owners or
optional padding. Equal content is equal bytes, independent of the program that packed it.
"""

import re
import string
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from runwright.workers.bundles.members import (
    COPY_BYTES,
    ArchiveError,
    MemberKind,
    RawMember,
    refuse,
    shown,
)

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_MOST_RECORD_BYTES: Final = 64 * 1024
_MOST_PADDING_BYTES: Final = 16 * 1024 * 1024
"""After its end an archive is filled up to a whole record, by default of 10 KiB."""
_KINDS: Final = {
    b"0": MemberKind.FILE,
    b"\0": MemberKind.FILE,
    b"5": MemberKind.FOLDER,
    b"2": MemberKind.LINK,
}
_REASONS: Final = {
    b"1": "is a hard link; pack with `tar --hard-dereference`",
    b"3": "is a device",
    b"4": "is a device",
    b"6": "is a named pipe",
    b"S": "is a sparse file",
}
_RECORD: Final = re.compile(rb"([1-9][0-9]{0,5}) ([^=\n\0]+)=")
_IGNORED_RECORDS: Final = re.compile(
    rb"mtime|atime|ctime|uid|gid|uname|gname|comment|charset|(?:LIBARCHIVE|SCHILY|RHT|APPLE)\..*"
)
_OCTAL: Final = frozenset(string.octdigits.encode())


class ByteSource(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class _Extra(msgspec.Struct):
    """The values for a member in the headers before its own."""

    path: bytes | None = None
    target: bytes | None = None
    size: int | None = None


def tar_members(source: ByteSource, *, most_headers: int) -> Iterator[RawMember]:
    """Yield the members of a tar archive; ArchiveError where it is none, or contains what is refused."""
    extra = _Extra()
    headers = 0
    while True:
        block = _exactly(source, BLOCK)
        if not any(block):
            break
        headers += 1
        if headers > most_headers:
            raise ArchiveError("The archive holds too many headers.")
        _check_sum(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind in b"xgLK":
            _take_extra(kind, _record(source, size), extra)
            continue
        yield from _member(source, block, extra)
        extra = _Extra()
    if extra != _Extra():
        raise ArchiveError("The archive ends after a header that announces a member.")
    _check_end(source)


def _member(source: ByteSource, block: bytes, extra: _Extra) -> Iterator[RawMember]:
    name = extra.path if extra.path is not None else _name(block)
    flag = block[156:157]
    if flag not in _KINDS:
        raise refuse(name, _REASONS.get(flag, "is of a type that is not known"))
    kind = _KINDS[flag]
    if flag in b"0\0" and name.endswith(b"/"):
        kind = MemberKind.FOLDER  # as the first versions of tar wrote it
    size = _number(block[124:136]) if extra.size is None else extra.size
    if kind is not MemberKind.FILE and size:
        raise refuse(name, "is not a file, but has content")
    target = b""
    if kind is MemberKind.LINK:
        target = extra.target if extra.target is not None else block[157:257].rstrip(b"\0")
    chunks = _content(source, size)
    yield RawMember(name, kind, _number(block[100:108]) & 0o7777, size, chunks, target)
    for _ in chunks:
        pass


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _check_sum(block: bytes) -> None:
    if _number(block[148:156]) != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise ArchiveError("The archive is damaged: the checksum of a header is wrong.")


def _number(field: bytes) -> int:
    """Return a header's number: octal, or binary where its first byte is 0x80."""
    if field[0] == 0x80:  # noqa: PLR2004  the mark of GNU's form
        value = int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b" \0")
        if not _OCTAL.issuperset(digits):
            raise ArchiveError("The archive is damaged: a header holds a number that is none.")
        value = int(digits or b"0", 8)
    if value >= 1 << 40:
        raise ArchiveError("The archive is damaged: a header holds a number beyond all bounds.")
    return value


def _take_extra(kind: bytes, record: bytes, extra: _Extra) -> None:
    if kind == b"L":
        extra.path = _once(extra.path, record.rstrip(b"\0"))
    elif kind == b"K":
        extra.target = _once(extra.target, record.rstrip(b"\0"))
    else:
        _take_records(record, extra, everywhere=kind == b"g")


def _take_records(text: bytes, extra: _Extra, *, everywhere: bool) -> None:
    while text:
        found = _RECORD.match(text)
        end = int(found[1]) if found else 0
        if found is None or end > len(text) or end <= found.end() or text[end - 1 : end] != b"\n":
            raise ArchiveError("The archive is damaged: an extended header cannot be read.")
        key, value = found[2], text[found.end() : end - 1]
        text = text[end:]
        if _IGNORED_RECORDS.fullmatch(key):
            continue
        if everywhere or key not in {b"path", b"linkpath", b"size"}:
            named = shown(key.decode("ascii", "replace"))
            raise ArchiveError(f'The archive has an extended header that is not allowed: "{named}".')
        if key == b"path":
            extra.path = _once(extra.path, value)
        elif key == b"linkpath":
            extra.target = _once(extra.target, value)
        elif extra.size is not None or not value.isdigit() or len(value) > len("1099511627775"):
            raise ArchiveError("The archive is damaged: an extended header holds a size that is none.")
        else:
            extra.size = int(value)


def _once(known: bytes | None, value: bytes) -> bytes:
    if known is not None:
        raise refuse(value, "is named by two headers at once")
    return value


def _record(source: ByteSource, size: int) -> bytes:
    if size > _MOST_RECORD_BYTES:
        raise ArchiveError("The archive has an extended header that is too long.")
    return b"".join(_content(source, size))


def _content(source: ByteSource, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = source.read(min(left, COPY_BYTES))
        if not chunk:
            raise _truncated()
        left -= len(chunk)
        yield chunk
    if size % BLOCK:
        _exactly(source, BLOCK - size % BLOCK)


def _exactly(source: ByteSource, size: int) -> bytes:
    data = source.read(size)
    while len(data) < size:
        more = source.read(size - len(data))
        if not more:
            raise _truncated()
        data += more
    return data


def _check_end(source: ByteSource) -> None:
    if any(_exactly(source, BLOCK)):
        raise ArchiveError("The archive is damaged: its end mark is incomplete.")
    padding = 0
    while rest := source.read(COPY_BYTES):
        padding += len(rest)
        if padding > _MOST_PADDING_BYTES or rest.strip(b"\0"):
            raise ArchiveError("The archive holds something after its end.")


def _truncated() -> ArchiveError:
    return ArchiveError("The archive ends too early; it is truncated.")


def canonical_header(path: str, *, kind: MemberKind, executable: bool, size: int, target: str = "") -> bytes:
    """Return the canonical header of a member."""
    name, link = path.encode(), target.encode()
    before = b""
    if len(name) > 100 or len(link) > 100 or not (path + target).isascii():  # noqa: PLR2004  the fields' length
        records = _pax_record(b"path", name) + (_pax_record(b"linkpath", link) if link else b"")
        before = _header(b"pax", b"x", 0o644, len(records)) + records + bytes(-len(records) % BLOCK)
        name, link = b"long", b""
    flag = b"2" if kind is MemberKind.LINK else b"0"
    return before + _header(name, flag, 0o755 if executable else 0o644, size, link)


def _pax_record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _header(name: bytes, flag: bytes, mode: int, size: int, link: bytes = b"") -> bytes:
    start = name.ljust(100, b"\0") + b"%07o\0" % mode + b"%07o\0" % 0 * 2 + b"%011o\0" % size + b"%011o\0" % 0
    end = flag + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(BLOCK - 265)
    checksum = sum(start) + 8 * ord(" ") + sum(end)
    return start + b"%06o\0 " % checksum + end
