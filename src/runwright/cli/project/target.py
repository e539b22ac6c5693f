"""The server that a project's file names, read without checking the rest of the file."""

import tomllib
from pathlib import Path
from typing import Any, Final

from runwright.cli.exits import UsageError
from runwright.cli.project.names import FILE_NAME

_KEYS: Final = ("profile", "url", "tenant")


def read_target(folder: Path, environment: str | None = None) -> dict[str, str]:
    """Return the profile, URL and tenant in a folder's file; those of `[env.NAME]` have priority."""
    file = folder / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None
    if not any(key in text for key in _KEYS):
        return {}
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no TOML: {error}.") from None
    environments = table.get("env")
    chosen = environments.get(environment) if environment and isinstance(environments, dict) else None
    return _named(table) | _named(chosen)


def _named(table: Any) -> dict[str, str]:  # noqa: ANN401  TOML
    if not isinstance(table, dict):
        return {}
    return {key: value for key in _KEYS if isinstance(value := table.get(key), str)}
