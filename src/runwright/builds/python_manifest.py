"""Reads requirements.txt and the header of a python script (PEP 723)."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from runwright.builds.errors import Refused

FILE: Final = "requirements.txt"
HEADER_FILE: Final = "script-requirements.txt"
"""Where the requirements of the header go; a bundle's file of that name is never read."""

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT: Final = re.compile(rf"({_NAME})\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*(.*)")
_VERSIONS: Final = re.compile(r"\(?[\s,<>=!~0-9A-Za-z.*+_-]*\)?")
_HASH: Final = re.compile(r"\s--hash[= ]\s*[a-z0-9]+:[0-9a-fA-F]+(?=\s|$)")
_NESTED: Final = re.compile(r"(?:-r|-c|--requirement|--constraint)[= ]?\s*(\S.*)")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_CLAUSE: Final = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?")
_FILES_AT_MOST: Final = 20
_MAY_STAND_ALONE: Final = ("--require-hashes",)

Text = Callable[[str], str | None]
Allowed = Callable[[str], bool]


def read_requirements(entrypoint: str, text: Text, *, allowed: Allowed) -> tuple[dict[str, str], str | None]:
    """Return the files for the installer and the version of python that the header asks for."""
    files: dict[str, str] = {}
    if text(FILE) is not None:
        _gather(FILE, text, files, allowed)
    if not any(files.values()):
        files = {}
    header = _header(text(entrypoint) or "") if entrypoint.endswith(".py") else None
    if header is None:
        return files, None
    where = f"The header of {entrypoint}"
    dependencies, requires = header.get("dependencies", []), header.get("requires-python")
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise Refused(f"{where}: dependencies is not a list of strings")
    if requires is not None and not isinstance(requires, str):
        raise Refused(f"{where}: requires-python is not a string")
    for item in dependencies:
        if "\n" in item or "\r" in item or "--" in item:
            raise Refused(f"{where}: {item.split()[0]!r} is not a requirement")
        _check(item.strip(), where, allowed)
    if dependencies:
        files[HEADER_FILE] = "".join(f"{item}\n" for item in dependencies)
    return files, requires


def python_suits(version: str, requires: str) -> bool:
    """Tell whether a version of python is what a `requires-python` asks for."""
    have = tuple(map(int, version.split(".")))
    for clause in filter(None, (part.strip() for part in requires.split(","))):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise Refused(f"requires-python {requires!r} is not understood")
        wanted = tuple(map(int, match[2].split(".")))
        if not _holds(have, match[1], wanted, prefix=match[3] is not None):
            return False
    return True


def _holds(have: tuple[int, ...], operator: str, wanted: tuple[int, ...], *, prefix: bool) -> bool:
    size = max(len(have), len(wanted))
    left, right = (part + (0,) * (size - len(part)) for part in (have, wanted))
    same = have[: len(wanted)] == wanted if prefix else left == right
    return {
        "==": same,
        "!=": not same,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "~=": left >= right and have[: len(wanted) - 1] == wanted[:-1],
    }[operator]


def _gather(name: str, text: Text, files: dict[str, str], allowed: Allowed) -> None:
    """Take a file and those that it names in."""
    if name in files:
        return
    content = text(name)
    if content is None:
        raise Refused(f"{name} is not in the bundle")
    if len(files) >= _FILES_AT_MOST:
        raise Refused(f"more than {_FILES_AT_MOST} files of requirements")
    lines = list(_lines(content))
    # Written anew, so that no reader sees other lines than were checked.
    files[name] = "".join(f"{line}\n" for _, line in lines)
    for number, line in lines:
        where = f"{name}, line {number}"
        nested = _NESTED.fullmatch(line)
        if nested is not None:
            _gather(_beside(name, nested[1].strip(), where), text, files, allowed)
        elif line not in _MAY_STAND_ALONE:
            _check(line, where, allowed)


def _beside(name: str, path: str, where: str) -> str:
    """Return the path, inside the bundle, of what a file names relative to itself."""
    parts: list[str] = [*PurePosixPath(name).parts[:-1]]
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part in {"", ".."} or "\\" in part or ":" in part:
            raise Refused(f"{where}: {path!r} is outside the bundle")
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each logical line, without comments."""
    joined, first = "", 0
    for number, raw in enumerate(content.splitlines(), 1):
        first = first or number
        joined += raw.removesuffix("\\")
        if raw.endswith("\\"):
            continue
        line = _COMMENT.sub("", joined).strip()
        if line:
            yield first, line
        joined, first = "", 0
    if line := _COMMENT.sub("", joined).strip():
        yield first, line


def _check(line: str, where: str, allowed: Allowed) -> None:
    """Refuse a requirement that would be looked for elsewhere than in the operator's index."""
    line = _HASH.sub("", line).strip()
    option = line.startswith("-") or " --" in line
    if option:
        word = line if line.startswith("-") else line[line.index(" --") + 1 :]
        word = word.replace("=", " ").split()[0]
        raise Refused(f"{where}: the option {word} is not allowed; the operator chooses the index")
    requirement, _, _ = line.partition(";")
    match = _REQUIREMENT.fullmatch(requirement.strip())
    if match is None or "://" in requirement.partition("@")[0]:
        raise Refused(f"{where}: {line!r} is not a requirement by name, which is all that is installed")
    rest = match[2]
    if rest.startswith("@"):
        url = rest[1:].strip()
        if not url.startswith("https://") or not allowed(url):
            raise Refused(
                f"{where}: {match[1]} is to come from {url!r}, which is not the operator's registry"
            )
    elif not _VERSIONS.fullmatch(rest):
        raise Refused(f"{where}: {line!r} is not a requirement by name, which is all that is installed")


def _header(source: str) -> dict[str, object] | None:
    """Return the content of the script block at the top of a file; None where there is none."""
    content: list[str] | None = None
    blocks: list[str] = []
    for line in source.splitlines():
        if content is None:
            content = [] if line.rstrip() == "# /// script" else None
        elif line.rstrip() == "# ///":
            blocks.append("\n".join(content))
            content = None
        elif line == "#" or line.startswith("# "):
            content.append(line[2:])
        else:
            content = None
    if not blocks:
        return None
    if len(blocks) > 1:
        raise Refused("The script has more than one header")
    try:
        return tomllib.loads(blocks[0])
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"The header of the script is not TOML: {error}") from error
