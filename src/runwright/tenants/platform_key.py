"""The platform key: the one that is configured, else one that is made once and kept in a file."""

from pathlib import Path
from typing import Final

from runwright.config.private_file import PrivateFileError, make_private_file, read_private_file
from runwright.tenants.model import new_key_text

FILE_NAME: Final = "platform-key"


def platform_key(configured: str | None, data_dir: Path) -> str:
    """Return the platform key. Processes that make it together end up with the same one."""
    if configured is not None:
        return configured
    path = data_dir / FILE_NAME
    if not path.exists():
        make_private_file(path, new_key_text())
    text = read_private_file(path)
    if not text:
        raise PrivateFileError(f"{path} is empty; remove it and a new key is made")
    return text
