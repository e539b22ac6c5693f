"""The path of user code inside the sandbox."""

import re
from typing import Final

_LENGTH: Final = 200
_PART: Final = re.compile(r"[\w.@+][\w .@+-]*")


def check_entrypoint(entrypoint: str) -> str | None:
    """Return why an entrypoint is invalid, or None if it is a plain relative path.

    It comes from a tenant and is used as a path, so only harmless characters are allowed.
    """
    parts = entrypoint.split("/")
    plain = all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
    if not plain or len(entrypoint) > _LENGTH:
        return "The entrypoint must be a relative path of letters, digits and . _ - @ +, without '..'"
    return None
