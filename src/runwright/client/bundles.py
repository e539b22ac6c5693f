"""Bundles: what a deploy uploads, from files or from an archive.

Which files of a folder belong into a bundle (and which are secrets or installed packages) is decided by
`runwright deploy`, with the project's configuration; here the caller names them.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from runwright.client.errors import SetupError

BundleSource: TypeAlias = "bytes | Path | Mapping[str, bytes | str]"
"""The content of an archive (`.zip` or `.tar.gz`), the path of one, or files: their content by name."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_ZIP: Final = "application/zip"
_MAGIC: Final = ((b"PK", _ZIP), (b"\x1f\x8b", "application/gzip"))


class PackedBundle(msgspec.Struct, frozen=True):
    """An archive, ready to be sent."""

    content: bytes
    content_type: str


def read_bundle(source: BundleSource) -> PackedBundle:
    """Return the archive to send. Raises SetupError for what is none."""
    if isinstance(source, Mapping):
        return _pack(source)
    content = _read(source) if isinstance(source, Path) else source
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return PackedBundle(content, kind)
    raise SetupError("The bundle is neither a .zip nor a .tar.gz archive.")


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise SetupError(f"{path} is a folder: give its files by name, an archive, or use runwright deploy.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None


def _pack(files: Mapping[str, bytes | str]) -> PackedBundle:
    """Return files as an archive; the same files give the same bytes."""
    if not files:
        raise SetupError("A bundle needs at least one file.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _MODE
            archive.writestr(entry, files[name])
    return PackedBundle(buffer.getvalue(), _ZIP)
