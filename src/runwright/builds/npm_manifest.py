"""Read the manifests of npm: package.json and its lock file."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec

from runwright.builds.errors import RefusedEntry

FILE: Final = "package.json"
LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
"""The first existing one is used, like npm does."""
FOREIGN_LOCKS: Final = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")

_GROUPS: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_KEPT: Final = (*_GROUPS, "name", "version", "overrides", "peerDependenciesMeta")
_INSTALLED: Final = ("dependencies", "optionalDependencies", "peerDependencies")
_NAME: Final = re.compile(r"(?:@[A-Za-z0-9._~-]+/)?[A-Za-z0-9._~-]+")
_ALIAS: Final = re.compile(rf"npm:(?:{_NAME.pattern})(?:@[^/:]*)?")
_MAX_DEPTH: Final = 60

Json = object
Text = Callable[[str], str | None]
Allowed = Callable[[str], bool]


def read_packages(
    names: Collection[str], text: Text, *, allowed: Allowed
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the files for npm, reduced to what it needs, and remarks on how they were read."""
    content = text(FILE)
    if content is None:
        return {}, ()
    package = _object(content, FILE)
    for group in _GROUPS:
        _check_group(package.get(group, {}), f"{FILE}, {group}", allowed)
    if not any(package.get(group) for group in _INSTALLED):
        return {}, ()
    if package.get("workspaces"):
        raise RefusedEntry(f"{FILE}: workspaces are not installed; deploy one package")
    _check_overrides(package.get("overrides", {}), allowed)
    kept = {key: package[key] for key in _KEPT if key in package}
    files = {FILE: msgspec.json.encode(kept, order="sorted").decode()}
    lock = next((name for name in LOCKS if name in names), None)
    if lock is not None:
        files["package-lock.json"] = _checked_lock(text(lock) or "", lock, allowed)
        return files, ()
    foreign = [name for name in FOREIGN_LOCKS if name in names]
    notes = [f"{name} is not read; put a package-lock.json beside package.json to pin" for name in foreign]
    return files, tuple(notes)


def _object(content: str, name: str) -> dict[str, Json]:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedEntry(f"{name} is not a JSON object: {error}") from error


def _check_group(group: Json, where: str, allowed: Allowed) -> None:
    if not isinstance(group, dict):
        raise RefusedEntry(f"{where} is not an object")
    for name, spec in group.items():
        if not _NAME.fullmatch(name) or set(name) == {"."}:
            raise RefusedEntry(f"{where}: {name!r} is not the name of a package")
        _check_spec(name, spec, where, allowed)


def _check_spec(name: str, spec: Json, where: str, allowed: Allowed) -> None:
    """Refuse a version that npm would look for outside of the registry."""
    if not isinstance(spec, str):
        raise RefusedEntry(f"{where}: the version of {name} is not a string")
    plain = ":" not in spec and "/" not in spec and "\\" not in spec
    if plain or _ALIAS.fullmatch(spec) or (spec.startswith("https://") and allowed(spec)):
        return
    raise RefusedEntry(f"{where}: {name} is to come from {spec!r}, which is not the operator's registry")


def _check_overrides(overrides: Json, allowed: Allowed) -> None:
    for key, spec in _leaves(overrides, "package.json, overrides"):
        if not (isinstance(spec, str) and spec.startswith("$")):
            _check_spec(key, spec, "package.json, overrides", allowed)


def _leaves(tree: Json, where: str) -> Iterator[tuple[str, Json]]:
    """Yield every key whose value is not an object, with the value."""
    todo: list[tuple[str, Json, int]] = [("", tree, 0)]
    while todo:
        key, value, depth = todo.pop()
        if depth > _MAX_DEPTH:
            raise RefusedEntry(f"{where} is nested too deeply")
        if isinstance(value, dict):
            todo += [(name, item, depth + 1) for name, item in value.items()]
        elif isinstance(value, list):
            todo += [(key, item, depth + 1) for item in value]
        else:
            yield key, value


def _checked_lock(content: str, name: str, allowed: Allowed) -> str:
    """Return a lock file after checking that it refers to the registry only."""
    lock = _object(content, name)
    packages = lock.get("packages", {})
    if not isinstance(packages, dict):
        raise RefusedEntry(f"{name}: packages is not an object")
    for path in packages:
        parts = path.split("/")
        if path and (parts[0] != "node_modules" or {"..", ".", ""} & set(parts) or "\\" in path):
            raise RefusedEntry(f"{name}: {path!r} is not inside node_modules")
    for key, value in _leaves(lock, name):
        if key == "link" and value is True:
            raise RefusedEntry(f"{name}: links to folders are not installed")
        if key in {"resolved", "version"} and isinstance(value, str) and ":" in value:
            aliased = key == "version" and _ALIAS.fullmatch(value)
            if not aliased and not (value.startswith("https://") and allowed(value)):
                raise RefusedEntry(f"{name}: {value!r} is not in the operator's registry")
    return msgspec.json.encode(lock).decode()
