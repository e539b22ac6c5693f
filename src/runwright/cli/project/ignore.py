"""Which files an upload leaves out: by `.gitignore`, by habit, and what must never be uploaded."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from runwright.client.upload_rules import NEVER_UPLOADED, PRIVATE_KEY

USUALLY: Final = (
    ".venv/",
    "venv/",
    "node_modules/",
    "__pycache__/",
    "*.py[cod]",
    ".hg/",
    ".svn/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    ".tox/",
    ".idea/",
    ".vscode/",
    ".runwright/",
    ".DS_Store",
    "*.swp",
    ".gitattributes",
)
"""Left out unless `include` has it."""

OWN: Final = (".gitignore", "/runwright.toml")
"""Left out without a word."""

_KEY_BYTES: Final = 16 * 1024
_TEXT_KEYS: Final = frozenset({"", ".pem", ".txt", ".crt", ".asc"})


class IgnoreRules:
    """Decides about paths below a folder, by `.gitignore` files there and up to the repository's root."""

    def __init__(self, root: Path, *, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self._root = root
        self._never = GitIgnoreSpec.from_lines(NEVER_UPLOADED)
        self._usually = GitIgnoreSpec.from_lines([*USUALLY, *exclude])
        self._own = GitIgnoreSpec.from_lines(OWN)
        self._include = GitIgnoreSpec.from_lines(include)
        self._git: dict[Path, GitIgnoreSpec | None] = {}
        self._top = _repository_of(root)

    def reason(self, path: Path, *, is_folder: bool) -> str | None:
        """Return why a path is left out, empty where that goes without saying; None if it is taken."""
        relative = path.relative_to(self._root).as_posix() + ("/" if is_folder else "")
        if self._never.match_file(relative):
            return "never uploaded"
        if self._include.match_file(relative):
            return None
        if self._own.match_file(relative):
            return ""
        if self._usually.match_file(relative):
            return "left out by default"
        return ".gitignore" if self._in_gitignore(path, is_folder=is_folder) else None

    def may_hold_included(self, path: Path) -> bool:
        """Return whether something below a folder that is left out may be included nevertheless."""
        relative = path.relative_to(self._root).as_posix()
        return any(
            str(getattr(one, "pattern", "")).lstrip("!/").startswith(relative + "/")
            for one in self._include.patterns
        )

    def _in_gitignore(self, path: Path, *, is_folder: bool) -> bool:
        """Ask the nearest file first, as git does: the last rule that matches decides."""
        folder = path.parent
        while True:
            spec = self._spec_of(folder)
            if spec is not None:
                name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
                found = spec.check_file(name).include
                if found is not None:
                    return found
            if folder == self._top:
                return False
            folder = folder.parent

    def _spec_of(self, folder: Path) -> GitIgnoreSpec | None:
        if folder not in self._git:
            file = folder / ".gitignore"
            text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
            lines = None if text is None else filter(is_pattern, text.splitlines())
            self._git[folder] = None if lines is None else GitIgnoreSpec.from_lines(lines)
        return self._git[folder]


def is_pattern(line: str) -> bool:
    """Return whether a line is a pattern; git passes over those of `.gitignore` that are none, as `!`."""
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _repository_of(folder: Path) -> Path:
    """Return the root of the repository that holds a folder; the folder itself if none does."""
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def holds_private_key(file: Path, size: int) -> bool:
    """Return whether a small file holds a private key, whatever its name."""
    if size > _KEY_BYTES or file.suffix not in _TEXT_KEYS:
        return False
    return PRIVATE_KEY.search(file.read_bytes()) is not None
