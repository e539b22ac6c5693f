"""The platform key: the one that is configured, else one that is made once and kept in a file."""

import os
import tempfile
from pathlib import Path
from typing import Final

from runwright.core.errors import RunwrightError
from runwright.tenants.model import new_key_text

FILE_NAME: Final = "platform-key"


class PlatformKeyError(RunwrightError):
    """The file with the platform key cannot be trusted or read."""

    code = "platform_key"


def platform_key(configured: str | None, data_dir: Path) -> str:
    """Return the platform key. Processes that make it together end up with the same one."""
    if configured is not None:
        return configured
    path = data_dir / FILE_NAME
    if not path.exists():
        _make(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PlatformKeyError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(fd) as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise PlatformKeyError(f"{path} is open to others; run: chmod 600 {path}")
        text = file.read(1024).strip()
    if not text:
        raise PlatformKeyError(f"{path} is empty; remove it and a new key is made")
    return text


def _make(path: Path) -> None:
    """Write a new key beside the file and link it into place, so that the file is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, part = tempfile.mkstemp(prefix=".platform-key-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "w") as file:
            file.write(new_key_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        pass  # another process was quicker, and its key counts
    finally:
        Path(part).unlink()
