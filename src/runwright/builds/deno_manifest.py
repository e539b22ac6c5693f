"""Reads what a deno bundle says about its imports.

The config of a bundle is given to deno with the harness, so nothing in it may change what the
harness itself imports, or make deno look for further config.
"""

import json
import re
from collections.abc import Callable, Collection
from typing import Final

from runwright.builds.errors import Refused

FILE: Final = "deno.json"
_LOCK: Final = "deno.lock"
_SOURCES: Final = (".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs")
_REMOTE: Final = re.compile(rb"""["'`](?:npm:|jsr:|https?://)""")
_SOURCE_BYTES: Final = 8 * 1024 * 1024
_OF_OTHERS: Final = re.compile(r"(?:file|data|blob|ext|deno|node):|[/\\]", re.IGNORECASE)
"""Keys of an import map that could mean a module of ours; a bundle's own begin with `./` or a name."""

_REMOTE_URLS: Final = ("https://", "http://", "jsr:", "npm:")
_READ: Final = frozenset(
    (
        *("imports", "scopes", "compilerOptions", "unstable", "lock", "nodeModulesDir"),
        *("name", "version", "license", "description", "exports", "publish", "include", "exclude", "$schema"),
        *("tasks", "fmt", "lint", "test", "bench"),
    )
)
"""What a config may hold; much of it is for other commands and does nothing here."""

Text = Callable[[str], str | None]


def depends_on_modules(names: Collection[str], text: Text, read: Callable[[str, int], bytes | None]) -> bool:
    """Tell whether there may be something to fetch; a URL that is only data costs a short build."""
    if "deno.jsonc" in names:
        raise Refused("deno.jsonc is not read; name it deno.json, without comments")
    config, lock = text(FILE), text(_LOCK)
    if config is not None:
        _check_config(config)
    if lock is not None:
        _check_lock(lock)
    if config is not None or lock is not None or "package.json" in names:
        return True
    sources = (name for name in names if name.endswith(_SOURCES))
    return any(_REMOTE.search(read(name, _SOURCE_BYTES) or b"") for name in sources)


def module_notes(names: Collection[str]) -> tuple[str, ...]:
    """Return what the log should say about how the bundle was read."""
    if "package.json" in names and FILE not in names:
        return ("package.json is read beside a deno.json only, which may be {}",)
    return ()


def _object(content: str, name: str) -> dict[str, object]:
    try:
        found = json.loads(content, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is not JSON (comments are not read): {error}") from error
    if not isinstance(found, dict):
        raise Refused(f"{name} is not a JSON object")
    return found


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object; readers do not agree on what a name means that occurs twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _check_lock(content: str) -> None:
    redirects = _object(content, _LOCK).get("redirects", {})
    if not isinstance(redirects, dict):
        raise Refused(f"{_LOCK}: redirects is not an object")
    for name, target in redirects.items():
        if not all(isinstance(url, str) and url.startswith(_REMOTE_URLS) for url in (name, target)):
            raise Refused(f"{_LOCK}: {name!r} is redirected to or from something that is not remote")


def _check_config(content: str) -> None:
    config = _object(content, FILE)
    for key in config:
        if key not in _READ:
            raise Refused(f"{FILE}: {key!r} is not something that may be set here")
    _check_imports(config.get("imports", {}), "imports")
    scopes = config.get("scopes", {})
    if not isinstance(scopes, dict):
        raise Refused(f"{FILE}: scopes is not an object")
    for scope in scopes.values():
        _check_imports(scope, "scopes")


def _check_imports(imports: object, where: str) -> None:
    if not isinstance(imports, dict):
        raise Refused(f"{FILE}: {where} is not an object of names")
    for name in imports:
        # A URL's reader passes over blanks and control characters.
        if _OF_OTHERS.match(name) or any(character <= " " for character in name):
            raise Refused(f"{FILE}, {where}: {name!r} is not a name of this bundle's own")
