"""Archives for the tests: honest ones by the standard library, hostile ones by hand."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from runwright.workers.bundles.archive import Bundle, collect_bundle, collect_tar
from runwright.workers.bundles.members import ArchiveLimits

LIMITS = ArchiveLimits(unpacked_bytes=1024 * 1024, files=50)


def zip_of(files: dict[str, bytes | str], **options: Any) -> bytes:  # noqa: ANN401  as the standard library has it
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(files: dict[str, bytes | str], **options: Any) -> bytes:  # noqa: ANN401  as the standard library has it
    return tar_with(
        *((tar_info(name, size=len(encoded(content))), encoded(content)) for name, content in files.items()),
        **options,
    )


def encoded(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


def tar_info(name: str, *, size: int = 0, **fields: Any) -> tarfile.TarInfo:  # noqa: ANN401  as the standard library has it
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_with(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:  # noqa: ANN401  as the standard library has it
    """A gzipped tar of exactly these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue())


class Read:
    """What was read of an archive, its spool closed again."""

    def __init__(self, bundle: Bundle) -> None:
        self.files = bundle.files
        self.contents = {path: bundle.read(path, at_most=1 << 30) or b"" for path in bundle.files}
        self.canonical = b"".join(bundle.canonical())
        self.sole_folder = bundle.sole_folder()
        inside = bundle.within(self.sole_folder) if self.sole_folder else bundle
        self.contents_within = {path: inside.read(path, at_most=1 << 30) for path in inside.files}
        self.size_bytes = bundle.size_bytes
        bundle.close()


def collect(archive: bytes, spool_dir: Path, limits: ArchiveLimits = LIMITS) -> Read:
    return Read(collect_bundle(io.BytesIO(archive), limits, spool_dir=spool_dir))


def collect_stream(archive: bytes, spool_dir: Path, limits: ArchiveLimits = LIMITS) -> Read:
    return Read(collect_tar(io.BytesIO(archive), limits, spool_dir=spool_dir))


class ZipMember:
    """One member of a zip that is put together by hand; whatever is wrong with it is meant so."""

    def __init__(self, name: bytes = b"a.txt", content: bytes = b"hello", **fields: Any) -> None:  # noqa: ANN401  all of them optional
        self.name = name
        self.content = content
        self.packed = fields.pop("packed", None)
        self.method = fields.pop("method", 0)
        if self.packed is None:
            self.packed = deflated(content) if self.method == 8 else content
        self.flags = fields.pop("flags", 0x800)
        self.checksum = fields.pop("checksum", zlib.crc32(content))
        self.size = fields.pop("size", len(content))
        self.attributes = fields.pop("attributes", 0o100644 << 16)
        self.extra = fields.pop("extra", b"")
        self.local: dict[str, Any] = fields.pop("local", {})
        self.offset: int | None = fields.pop("offset", None)
        self.after = fields.pop("after", b"")
        assert not fields, fields


def deflated(content: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(content) + machine.flush()


def zip_by_hand(
    *members: ZipMember, before: bytes = b"", after: bytes = b"", count: int | None = None, shift: int = 0
) -> bytes:
    out = bytearray(before)
    directory = bytearray()
    for member in members:
        offset = len(out) if member.offset is None else member.offset
        own = {
            "name": member.name,
            "flags": member.flags,
            "method": member.method,
            "checksum": member.checksum,
            "packed": len(member.packed),
            "size": member.size,
            "extra": b"",
        } | member.local
        if member.offset is None:
            numbers = (own["method"], 0, 0, own["checksum"], own["packed"], own["size"])
            out += struct.pack(
                "<4s5H3L2H", b"PK\3\4", 20, own["flags"], *numbers, len(own["name"]), len(own["extra"])
            )
            out += own["name"] + own["extra"] + member.packed + member.after
        numbers = (member.method, 0, 0, member.checksum, len(member.packed), member.size)
        directory += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", 0x031E, 20, member.flags, *numbers),
            *(len(member.name), len(member.extra), 0, 0, 0, member.attributes, offset),
        )
        directory += member.name + member.extra
    total = len(members) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, total, total, len(directory), len(out) + shift, 0)
    return bytes(out + directory) + end + after
