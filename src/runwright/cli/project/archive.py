"""Packs files into a zip archive that is the same whenever the files are."""

import io
import zipfile
from collections.abc import Sequence
from typing import Final

from runwright.cli.project.files import CodeFile

_WHEN: Final = (1980, 1, 1, 0, 0, 0)
_FILE: Final = 0o100644
_EXECUTABLE: Final = 0o100755
_LINK: Final = 0o120777
_UNIX: Final = 3
_COPY_BYTES: Final = 256 * 1024


def pack(files: Sequence[CodeFile]) -> bytes:
    """Return a zip archive of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file in files:
            _add(archive, file)
    return packed.getvalue()


def _add(archive: zipfile.ZipFile, file: CodeFile) -> None:
    member = zipfile.ZipInfo(file.path, _WHEN)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = _UNIX
    if file.target is not None:
        member.external_attr = _LINK << 16
        archive.writestr(member, file.target)
        return
    member.external_attr = (_EXECUTABLE if file.executable else _FILE) << 16
    with file.source.open("rb") as source, archive.open(member, "w") as target:
        while chunk := source.read(_COPY_BYTES):
            target.write(chunk)
