"""The file of a backup: written in one pass, also to a pipe, and read member by member with its digests."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from runwright.backups.model import FORMAT, MANIFEST, BackupError, BackupManifest, BackupMember

CHUNK_BYTES: Final = 1024 * 1024
_MOST_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_PRIVATE: Final = 0o100600


@contextmanager
def written() -> Iterator[None]:
    """Raise BackupError where the block cannot write."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"The backup cannot be written: {error.strerror}.") from None


class MemberSink:
    """Where the content of one member is written to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, content: bytes) -> None:
        with written():
            self._file.write(content)
        self._digest.update(content)
        self._bytes += len(content)

    @property
    def member(self) -> BackupMember:
        return BackupMember(self._bytes, self._digest.hexdigest())


class ArchiveWriter:
    """Writes a backup; without `finish` it is not one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self.members: dict[str, BackupMember] = {}

    @contextmanager
    def adding(self, name: str) -> Iterator[MemberSink]:
        """Yield the sink of a new member; what is written to it need not fit into memory."""
        with self._opened(name) as file:
            sink = MemberSink(file)
            yield sink
        self.members[name] = sink.member

    def finish(self, manifest: BackupManifest) -> None:
        """Write the manifest and the end of the file."""
        with written():
            with self._opened(MANIFEST) as file:
                file.write(msgspec.json.format(msgspec.json.encode(manifest)))
            self._zip.close()

    def _opened(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(name)
        info.external_attr = _PRIVATE << 16
        return self._zip.open(info, "w", force_zip64=True)


class _Header(msgspec.Struct):
    """What every format begins with."""

    format: int
    runwright: str


class ArchiveReader:
    """A backup that is read. BackupError for a file that is none, or is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise BackupError(f"{path} is not a complete backup.") from None
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a member; BackupError before its last chunk if it is not what was written."""
        digest, size, last = hashlib.sha256(), 0, b""
        for chunk in self._raw_chunks(name):
            digest.update(chunk)
            size += len(chunk)
            if last:
                yield last
            last = chunk
        expected = self.manifest.members[name]
        if (size, digest.hexdigest()) != (expected.bytes, expected.sha256):
            raise BackupError(f"{self.path} is damaged: {name} is not what was written.")
        yield last

    def _raw_chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(name) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (zipfile.BadZipFile, EOFError, KeyError, OSError) as error:
            raise BackupError(f"{self.path} is damaged: {name}: {error}.") from None

    def text(self, name: str) -> str:
        """Return a small member as text."""
        return b"".join(self.chunks(name)).decode("ascii", "replace")

    def _read_manifest(self) -> BackupManifest:
        try:
            with self._zip.open(MANIFEST) as file:
                content = file.read(_MOST_MANIFEST_BYTES)
            made_as = msgspec.json.decode(content, type=_Header)
            if made_as.format != FORMAT:
                raise BackupError(
                    f"{self.path} was made by Runwright {made_as.runwright} in the format {made_as.format};"
                    f" this version reads {FORMAT}."
                )
            return msgspec.json.decode(content, type=BackupManifest)
        except KeyError:
            raise BackupError(f"{self.path} is not a backup of Runwright.") from None
        except (msgspec.DecodeError, zipfile.BadZipFile, EOFError) as error:
            raise BackupError(f"{self.path} is damaged: {MANIFEST}: {error}.") from None
