"""The files of a worker that an upload takes, in order, and those that it leaves out with the reason."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.project.ignore import IgnoreRules, holds_private_key
from runwright.cli.project.model import ProjectWorker
from runwright.cli.times import bytes_text

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 1024**3
"""Four times what a server takes by default: more than that is a mistake, and would fill the memory here."""

_SCRIPTS: Final = frozenset({".sh", ".bash"})
_MOST_LEVELS: Final = 64
_LEAVE_OUT: Final = 'Leave some out: exclude = ["data/"] in its [[worker]], or a .gitignore.'
_READ_BYTES: Final = 1024 * 1024


class CodeFile(msgspec.Struct, frozen=True):
    """A file to upload."""

    path: str
    """Below the worker's folder, with forward slashes."""
    source: Path
    size: int
    executable: bool
    target: str | None = None
    """Where a symbolic link leads."""


class LeftOut(msgspec.Struct, frozen=True):
    """A file or folder that is not uploaded."""

    path: str
    reason: str


class CodeFiles(msgspec.Struct):
    """What an upload takes and leaves out."""

    taken: list[CodeFile]
    left_out: list[LeftOut]
    warnings: list[str]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.taken)


def find_files(folder: Path, worker: ProjectWorker) -> CodeFiles:
    """Return the files of a worker. UsageError if they are too many, or if its entrypoint is left out."""
    root = (folder / worker.path).resolve()
    found = CodeFiles([], [], [])
    rules = IgnoreRules(root, include=worker.include, exclude=worker.exclude)
    for path in _walk(root, root, rules, found):
        _take(path, root, found)
        if len(found.taken) > MOST_FILES:
            raise UsageError(
                f"{worker.name} has more than {MOST_FILES} files in {worker.path}.",
                hint=_LEAVE_OUT,
            )
    if found.size > MOST_BYTES:
        raise UsageError(
            f"{worker.name} has {bytes_text(found.size)} of files in {worker.path}.", hint=_LEAVE_OUT
        )
    _settle_links(found, root, worker.entrypoint)
    _require_entrypoint(worker, found)
    found.taken.sort(key=lambda file: file.path)
    return found


def _walk(folder: Path, root: Path, rules: IgnoreRules, found: CodeFiles) -> Iterator[Path]:
    if len(folder.parts) - len(root.parts) > _MOST_LEVELS:
        raise UsageError(f"There are more than {_MOST_LEVELS} folders in one another.", hint=_LEAVE_OUT)
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        reason = rules.reason(path, is_folder=is_folder)
        if reason is not None and not (is_folder and rules.may_hold_included(path)):
            name = _name(path, root) + ("/" if is_folder else "")
            found.left_out += [LeftOut(name, reason)] if reason else []
        elif is_folder:
            yield from _walk(path, root, rules, found)
        else:
            yield path


def _take(path: Path, root: Path, found: CodeFiles) -> None:
    name = _name(path, root)
    if not _is_text(name):
        found.left_out.append(LeftOut(name, "its name is not UTF-8"))
        return
    try:
        status, outside = path.stat(), path.is_symlink() and not path.resolve().is_relative_to(root)
    except OSError:
        found.left_out.append(LeftOut(name, "a link to nothing" if path.is_symlink() else "cannot be read"))
        return
    if outside:
        found.left_out.append(LeftOut(name, "a link to outside the folder"))
    elif path.is_symlink() and _stays_inside(target := os.readlink(path)):  # noqa: PTH115  as it is written
        found.taken.append(CodeFile(name, path, len(os.fsencode(target)), executable=False, target=target))
    else:
        _take_file(path, name, status, found)


def _stays_inside(target: str) -> bool:
    """Return whether a link can be kept as it is: relative, and `..` only at its beginning."""
    return _is_text(target) and not target.startswith("/") and ".." not in target.lstrip("./").split("/")


def _settle_links(found: CodeFiles, root: Path, entrypoint: str | None) -> None:
    """Take the files instead of the links to what is not uploaded itself, and instead of an entrypoint's."""
    kept = {file.path for file in found.taken if file.target is None}
    folders = {str(parent) for path in kept for parent in PurePosixPath(path).parents}
    links = [file for file in found.taken if file.target is not None]
    found.taken = [file for file in found.taken if file.target is None]
    for link in links:
        leads_to = _name(link.source.resolve(), root)
        if link.path != entrypoint and (leads_to in kept or leads_to in folders):
            found.taken.append(link)
        else:
            _take_file(link.source, link.path, link.source.stat(), found)


def _take_file(path: Path, name: str, status: os.stat_result, found: CodeFiles) -> None:
    if not stat.S_ISREG(status.st_mode):
        found.left_out.append(LeftOut(name, "not a regular file"))
    elif holds_private_key(path, status.st_size):
        found.left_out.append(LeftOut(name, "holds a private key"))
    else:
        found.taken.append(CodeFile(name, path, status.st_size, bool(status.st_mode & 0o111)))
        found.warnings += _warnings(name, path)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _warnings(name: str, path: Path) -> list[str]:
    if path.suffix in _SCRIPTS and b"\r\n" in _beginning(path):
        return [f"{name} has Windows line ends (CRLF), which shells do not understand."]
    return []


def _beginning(path: Path) -> bytes:
    with path.open("rb") as content:
        return content.read(_READ_BYTES)


def _require_entrypoint(worker: ProjectWorker, found: CodeFiles) -> None:
    if worker.entrypoint not in {file.path for file in found.taken}:
        reasons = {one.path: one.reason for one in found.left_out}
        reason = reasons.get(worker.entrypoint or "", "its folder is left out")
        raise UsageError(
            f"The entrypoint {worker.entrypoint} of {worker.name} is left out of the upload: {reason}.",
            hint=f'Add it: include = ["{worker.entrypoint}"] in its [[worker]].',
        )


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def digest_of(file: CodeFile) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    if file.target is not None:
        return hashlib.sha256(file.target.encode()).hexdigest()
    with file.source.open("rb") as content:
        while chunk := content.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def keeps_modes() -> bool:
    """Return whether files have executable bits here."""
    return os.name != "nt"
