"""Zip archives: a strict reader of the central directory and of every member's own header.

The two must agree, members must not overlap, and the file must contain nothing but the archive,
so that every program that reads it sees the same files. Sizes and checksums are compared with what
was really unpacked. Only stored and deflated members, no encryption, one disk.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from runwright.workers.bundles.members import COPY_BYTES, ArchiveError, MemberKind, RawMember, refuse

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_DESCRIPTORS: Final = (struct.Struct("<3L"), struct.Struct("<L2Q"))
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_STORED: Final = 0
_DEFLATED: Final = 8
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_DESCRIPTOR: Final = 0x8
_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFFFFFF
_MOST_NAME_BYTES: Final = 4096
_EXTRA_64: Final = 0x0001
_EXTRA_NAME: Final = 0x7075
_MS_DOS_FOLDER: Final = 0x10


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A member as the central directory describes it."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int
    attributes: int


def zip_members(file: IO[bytes], *, most_members: int) -> Iterator[RawMember]:
    """Yield the members of a zip archive; ArchiveError where it is none, or contains what is refused."""
    count, start, length = _find_directory(file)
    if count > most_members:
        raise ArchiveError(f"The archive holds more than {most_members} members.")
    entries = _read_directory(file, count, start, length)
    reached = 0
    for entry in sorted(entries, key=lambda entry: entry.offset):
        reached = _check_local(file, entry, reached, start)
    for entry in entries:
        yield _member(file, entry)


def _find_directory(file: IO[bytes]) -> tuple[int, int, int]:
    """Return the number of members, and the start and length of their directory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _MAX_16))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    while at >= 0 and (at + _END.size > len(tail) or _ends_at(tail, at) != len(tail)):
        at = tail.rfind(b"PK\5\6", 0, at)
    if at < 0:
        raise ArchiveError("The archive ends too early, or holds something after its end.")
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    if max(disk, first_disk) not in {0, _MAX_16} or here != count:
        raise ArchiveError("The archive is a part of several.")
    if count == _MAX_16 or _MAX_32 in {length, start}:
        count, start, length, end = _find_directory_64(file, end)
    if start + length != end or start < 0:
        raise ArchiveError("The archive is damaged: its directory is not where its end says.")
    return count, start, length


def _ends_at(tail: bytes, at: int) -> int:
    return at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little")


def _find_directory_64(file: IO[bytes], end: int) -> tuple[int, int, int, int]:
    at = end - _LOCATOR.size
    mark, _, where, disks = _LOCATOR.unpack(_read_at(file, at, _LOCATOR.size))
    if mark != b"PK\6\7" or disks > 1 or where + _END_64.size > at:
        raise ArchiveError("The archive is damaged: its zip64 end cannot be read.")
    mark, size, _, _, disk, first_disk, here, count, length, start = _END_64.unpack(
        _read_at(file, where, _END_64.size)
    )
    if mark != b"PK\6\6" or disk or first_disk or here != count or where + size + 12 != at:
        raise ArchiveError("The archive is damaged: its zip64 end cannot be read.")
    return count, start, length, where


def _read_directory(file: IO[bytes], count: int, start: int, length: int) -> list[_Entry]:
    entries: list[_Entry] = []
    at, end = start, start + length
    while at < end:
        if len(entries) == count or at + _CENTRAL.size > end:
            raise ArchiveError("The archive is damaged: its directory is not as long as its end says.")
        fields = _CENTRAL.unpack(_read_at(file, at, _CENTRAL.size))
        mark, _, _, flags, method, _, _, checksum, packed, size, *lengths, disk, _, attributes, offset = (
            fields
        )
        if mark != b"PK\1\2" or disk not in {0, _MAX_16} or lengths[0] > _MOST_NAME_BYTES:
            raise ArchiveError("The archive is damaged: its directory cannot be read.")
        rest = _read_at(file, at + _CENTRAL.size, sum(lengths))
        name, extra = rest[: lengths[0]], rest[lengths[0] : lengths[0] + lengths[1]]
        size, packed, offset = _take_extra(name, extra, [size, packed, offset])
        entries.append(
            _Entry(
                name=name,
                flags=flags,
                method=method,
                checksum=checksum,
                packed=packed,
                size=size,
                offset=offset,
                attributes=attributes,
            )
        )
        at += _CENTRAL.size + sum(lengths)
    if len(entries) != count or at != end:
        raise ArchiveError("The archive is damaged: its directory is not as long as its end says.")
    return entries


def _take_extra(name: bytes, extra: bytes, numbers: list[int]) -> list[int]:
    """Return size, packed size and offset, from the zip64 field where they do not fit into 32 bits."""
    fields = _split_extra(name, extra)
    unicode_name = fields.get(_EXTRA_NAME)
    if unicode_name is not None and unicode_name[5:] != name:
        raise refuse(name, "has two names")
    wide = fields.get(_EXTRA_64, b"")
    for index, number in enumerate(numbers):
        if number == _MAX_32:
            if len(wide) < 8:  # noqa: PLR2004  the length of the number
                raise refuse(name, "has no size in its zip64 field")
            numbers[index], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return numbers


def _split_extra(name: bytes, extra: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    while len(extra) >= 4:  # noqa: PLR2004  the length of a field's head
        kind, length = struct.unpack_from("<2H", extra)
        if len(extra) < 4 + length or (kind in fields and kind in {_EXTRA_64, _EXTRA_NAME}):
            raise refuse(name, "has an extra field that cannot be read")
        fields[kind], extra = extra[4 : 4 + length], extra[4 + length :]
    return fields


def _check_local(file: IO[bytes], entry: _Entry, reached: int, end: int) -> int:
    """Compare a member's own header with the directory; return where its content ends."""
    if entry.offset < reached:
        raise refuse(entry.name, "overlaps another member")
    if not reached and entry.offset:
        raise ArchiveError("The archive has something before its first member.")
    head = _read_at(file, entry.offset, _LOCAL.size)
    mark, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = _LOCAL.unpack(head)
    rest = _read_at(file, entry.offset + _LOCAL.size, name_length + extra_length)
    if mark != b"PK\3\4" or rest[:name_length] != entry.name:
        raise refuse(entry.name, "has another name in its own header than in the directory")
    size, packed, _ = _take_extra(entry.name, rest[name_length:], [size, packed, 0])
    own, listed = (checksum, packed, size), (entry.checksum, entry.packed, entry.size)
    # A program that streams writes sizes after the content, and before it zeros, or what it knows already.
    later = flags & _DESCRIPTOR and all(field in {0, right} for field, right in zip(own, listed, strict=True))
    if flags != entry.flags or method != entry.method or not (later or own == listed):
        raise refuse(entry.name, "is described differently in its own header and in the directory")
    content_end: int = entry.offset + _LOCAL.size + name_length + extra_length + entry.packed
    if flags & _DESCRIPTOR:
        content_end += _descriptor_length(file, entry, content_end)
    if content_end > end:
        raise refuse(entry.name, "reaches into the directory")
    return content_end


def _descriptor_length(file: IO[bytes], entry: _Entry, at: int) -> int:
    """Return the length of the data descriptor, which repeats a member's checksum and sizes after it."""
    file.seek(at)
    found = file.read(24)
    for form in _DESCRIPTORS:
        if form is _DESCRIPTORS[0] and max(entry.packed, entry.size) > _MAX_32:
            continue
        expected = form.pack(entry.checksum, entry.packed, entry.size)
        for mark in (b"PK\7\x08", b""):
            if found.startswith(mark + expected):
                return len(mark + expected)
    raise refuse(entry.name, "is described differently after its content and in the directory")


def _member(file: IO[bytes], entry: _Entry) -> RawMember:
    if entry.flags & _ENCRYPTED:
        raise refuse(entry.name, "is encrypted")
    if entry.method not in {_STORED, _DEFLATED}:
        raise refuse(entry.name, "is compressed by a method that is not known (store and deflate are)")
    if b"\\" in entry.name:
        raise refuse(entry.name, "has a backslash in its name; paths are written with forward slashes")
    mode = entry.attributes >> 16
    kind = _kind(entry, mode)
    return RawMember(
        entry.name, kind, mode & 0o7777, entry.size, _content(file, entry), _target(file, entry, kind)
    )


def _kind(entry: _Entry, mode: int) -> MemberKind:
    form = stat.S_IFMT(mode)
    if form == stat.S_IFLNK:
        return MemberKind.LINK
    if form not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise refuse(entry.name, "is a device, a socket or a named pipe")
    folder = entry.name.endswith(b"/")
    marked_folder = form == stat.S_IFDIR or (not form and entry.attributes & _MS_DOS_FOLDER)
    if folder != bool(marked_folder) and (form or not folder):
        raise refuse(entry.name, "is a file and a folder at once")
    if folder and entry.size:
        raise refuse(entry.name, "is not a file, but has content")
    return MemberKind.FOLDER if folder else MemberKind.FILE


def _target(file: IO[bytes], entry: _Entry, kind: MemberKind) -> bytes:
    if kind is not MemberKind.LINK:
        return b""
    if entry.size > _MOST_NAME_BYTES:
        raise refuse(entry.name, "links to something outside")
    return b"".join(_content(file, entry))


def _content(file: IO[bytes], entry: _Entry) -> Iterator[bytes]:
    """Yield the unpacked content of a member, and compare it with its size and checksum."""
    head = _read_at(file, entry.offset, _LOCAL.size)
    at = entry.offset + _LOCAL.size + sum(_LOCAL.unpack(head)[-2:])
    checksum = size = 0
    parts = _stored(file, at, entry.packed)
    for chunk in parts if entry.method == _STORED else _inflate(entry.name, parts):
        checksum = zlib.crc32(chunk, checksum)
        size += len(chunk)
        if size > entry.size:
            break
        yield chunk
    if size != entry.size or checksum != entry.checksum:
        raise refuse(entry.name, "does not unpack to the size and checksum that the archive names")


def _stored(file: IO[bytes], at: int, left: int) -> Iterator[bytes]:
    while left:
        chunk = _read_at(file, at, min(left, COPY_BYTES))
        at += len(chunk)
        left -= len(chunk)
        yield chunk


def _inflate(name: bytes, packed: Iterator[bytes]) -> Iterator[bytes]:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for part in packed:
            if machine.eof:
                raise refuse(name, "cannot be unpacked: its data end too late")
            rest = part
            while rest and not machine.eof:
                if chunk := machine.decompress(rest, COPY_BYTES):
                    yield chunk
                rest = machine.unconsumed_tail
        while not machine.eof and (chunk := machine.decompress(machine.unconsumed_tail, COPY_BYTES)):
            yield chunk
    except zlib.error:
        raise refuse(name, "cannot be unpacked") from None
    if not machine.eof or machine.unused_data:
        raise refuse(name, "cannot be unpacked: its data end too early or too late")


def _read_at(file: IO[bytes], at: int, size: int) -> bytes:
    if at < 0:
        raise ArchiveError("The archive is damaged: it points before its beginning.")
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise ArchiveError("The archive ends too early; it is truncated.")
    return data
