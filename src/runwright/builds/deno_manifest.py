"""Read the manifests of deno: deno.json and deno.lock, and whether sources import remote modules.

Deno gets a bundle's config together with the harness, so the config must not change what the harness
imports, nor make deno look for further configuration.
"""

import json
import re
from collections.abc import Callable, Collection
from typing import Final

from runwright.builds.errors import RefusedEntry

FILE: Final = "deno.json"
_LOCK: Final = "deno.lock"
_SOURCES: Final = (".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs")
_REMOTE: Final = re.compile(rb"""["'`](?:npm:|jsr:|https?://)""")
_SOURCE_BYTES: Final = 8 * 1024 * 1024
_FOREIGN_KEY: Final = re.compile(r"(?:file|data|blob|ext|deno|node):|[/\\]", re.IGNORECASE)
"""Keys of an import map that could match a harness module; a bundle's own start with `./` or a name."""

_REMOTE_URLS: Final = ("https://", "http://", "jsr:", "npm:")
_ALLOWED_KEYS: Final = frozenset(
    (
        *("imports", "scopes", "compilerOptions", "unstable", "lock", "nodeModulesDir"),
        *("name", "version", "license", "description", "exports", "publish", "include", "exclude", "$schema"),
        *("tasks", "fmt", "lint", "test", "bench"),
    )
)
"""Allowed keys of a config; many are for other commands and have no effect here."""

Text = Callable[[str], str | None]


def depends_on_modules(names: Collection[str], text: Text, read: Callable[[str, int], bytes | None]) -> bool:
    """Return whether there may be modules to fetch; a URL that is only data costs a short build."""
    if "deno.jsonc" in names:
        raise RefusedEntry("deno.jsonc is not read; name it deno.json, without comments")
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
    """Return remarks for the log about how the bundle was read."""
    if "package.json" in names and FILE not in names:
        return ("package.json is read beside a deno.json only, which may be {}",)
    return ()


def _object(content: str, name: str) -> dict[str, object]:
    try:
        found = json.loads(content, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise RefusedEntry(f"{name} is not JSON (comments are not read): {error}") from error
    if not isinstance(found, dict):
        raise RefusedEntry(f"{name} is not a JSON object")
    return found


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object without duplicate names, whose meaning differs between parsers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _check_lock(content: str) -> None:
    redirects = _object(content, _LOCK).get("redirects", {})
    if not isinstance(redirects, dict):
        raise RefusedEntry(f"{_LOCK}: redirects is not an object")
    for name, target in redirects.items():
        if not all(isinstance(url, str) and url.startswith(_REMOTE_URLS) for url in (name, target)):
            raise RefusedEntry(f"{_LOCK}: {name!r} is redirected to or from something that is not remote")


def _check_config(content: str) -> None:
    config = _object(content, FILE)
    for key in config:
        if key not in _ALLOWED_KEYS:
            raise RefusedEntry(f"{FILE}: {key!r} is not something that may be set here")
    _check_imports(config.get("imports", {}), "imports")
    scopes = config.get("scopes", {})
    if not isinstance(scopes, dict):
        raise RefusedEntry(f"{FILE}: scopes is not an object")
    for scope in scopes.values():
        _check_imports(scope, "scopes")


def _check_imports(imports: object, where: str) -> None:
    if not isinstance(imports, dict):
        raise RefusedEntry(f"{FILE}: {where} is not an object of names")
    for name in imports:
        # URL parsers ignore blanks and control characters.
        if _FOREIGN_KEY.match(name) or any(character <= " " for character in name):
            raise RefusedEntry(f"{FILE}, {where}: {name!r} is not a name of this bundle's own")
