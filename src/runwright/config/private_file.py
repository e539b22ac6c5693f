"""Small files that contain a key: readable only by their owner, and written atomically."""

import os
import tempfile
from pathlib import Path
from typing import Final

from runwright.core.errors import RunwrightError

_MOST_CHARACTERS: Final = 16 * 1024


class PrivateFileError(RunwrightError):
    """A file with a key cannot be read, or others have access to it."""

    code = "private_file"


def read_private_file(path: Path, *, follow: bool = False) -> str:
    """Return the contents without surrounding white space; `follow` allows symbolic links."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with os.fdopen(fd) as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise PrivateFileError(f"{path} is accessible to other users; run: chmod 600 {path}")
            return file.read(_MOST_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PrivateFileError(f"{path} cannot be read: {type(error).__name__}") from None


def make_private_file(path: Path, text: str) -> None:
    """Create the file atomically; an existing one is left unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        pass  # another process created it first; its key is used
    finally:
        Path(part).unlink()
