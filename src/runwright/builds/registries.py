"""Where the registries are that the package tools install from.

No host is written here. The operator's settings win, then the environment and the files that the
tools themselves honour, then the default that each tool names when it is asked:

- python: uv names its default index in its own help. Where an index keeps its files is learned
  from uv as well: it is asked what it would fetch for one package, and says from where.
- npm: `npm config get registry`, once as the operator has configured it, and once without any
  configuration, because lock files name the default registry and npm itself then asks ours.
- deno: the hosts that it lets a program import from by default, as its help lists them. It sends
  there only what a program names, and runs none of what it fetches.
"""

import configparser
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

_SECONDS: Final = 30
_PROBE_PACKAGE: Final = "pip"
"""A package that every general index has; nothing of it is installed."""
_DEFAULT_INDEX: Final = re.compile(r"\(by\s+default:\s+<?(https?://[^>)\s]+)>?\)")
_DEFAULT_IMPORTS: Final = re.compile(r"--allow-import\b.*?Default value:\s+(\S+)", re.DOTALL)
_REQUESTED: Final = re.compile(r"request for: (https?://\S+)")
_PORTS: Final = {"https": 443, "http": 80}
_INDEX_VARIABLES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class RegistryError(Exception):
    """A registry cannot be used; the message is for the operator and the tenant."""


class Place(msgspec.Struct, frozen=True, order=True):
    """A host and port that a build may reach."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Where one tool installs from."""

    url: str = ""
    places: tuple[Place, ...] = ()
    """The operator's own, whatever addresses they have."""
    public_places: tuple[Place, ...] = ()
    """Reached at public addresses only."""
    lock_places: tuple[Place, ...] = ()
    """What a lock file may name beside `places`; the tool asks the registry instead."""
    complete: bool = True
    """Whether it answered; else its places may lack some, and it should be asked again."""


def place_of(url: str) -> Place:
    """Return the host and port of an http(s) URL without credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RegistryError("a registry's address is not a URL") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RegistryError("a registry's address is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        message = (
            "a registry's URL carries credentials, which a build could read: put a mirror in front of it"
        )
        raise RegistryError(message)
    return Place(parts.hostname.lower(), port or _PORTS[parts.scheme])


def parse_places(hosts: tuple[str, ...]) -> tuple[Place, ...]:
    """Return what an operator listed as `host` or `host:port`; 443 is the default."""
    return tuple(place_of(f"https://{host}") for host in hosts)


def python_registry(uv: str, *, configured: str | None, hosts: tuple[str, ...], home: Path) -> Registry:
    """Return the python index, and where its files are."""
    url = configured or _operators_index(os.environ, home) or _uv_default(uv)
    places = {place_of(url), *parse_places(hosts)}
    files = _file_places(uv, url)
    return Registry(url=url, places=tuple(sorted(places | (files or set()))), complete=files is not None)


def npm_registry(npm: list[str], *, configured: str | None, hosts: tuple[str, ...]) -> Registry:
    """Return the npm registry."""
    url = configured or _npm_config(npm, os.environ)
    bare = {"PATH": os.environ.get("PATH", os.defpath)}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder, name)) for name in ("userconfig", "globalconfig")}
        default = _npm_config(npm, bare | {f"npm_config_{name}": path for name, path in files.items()})
    places = {place_of(url), *parse_places(hosts)}
    return Registry(url=url, places=tuple(sorted(places)), lock_places=(place_of(default),))


def deno_registry(deno: str, *, npm: Registry, hosts: tuple[str, ...]) -> Registry:
    """Return where deno's specifiers lead: the npm registry, and the hosts that deno imports from."""
    found = _DEFAULT_IMPORTS.search(_say([deno, "cache", "--help"], {**_quiet(), "NO_COLOR": "1"}))
    imports = parse_places(tuple(found[1].split(","))) if found else ()
    places = {*npm.places, *parse_places(hosts)}
    if jsr := os.environ.get("JSR_URL"):
        places.add(place_of(jsr))
    return Registry(
        url=npm.url, places=tuple(sorted(places)), public_places=tuple(sorted(set(imports) - places))
    )


def _operators_index(environment: Mapping[str, str], home: Path) -> str | None:
    for name in _INDEX_VARIABLES:
        if value := environment.get(name):
            return value
    return next(_uv_files(environment, home), None) or next(_pip_files(environment, home), None)


def _uv_files(environment: Mapping[str, str], home: Path) -> Iterator[str]:
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "uv", "uv.toml")
    for path in (own, Path("/etc/uv/uv.toml")):
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError):
            continue
        for index in content.get("index", []):
            if isinstance(index, dict) and index.get("default") and isinstance(index.get("url"), str):
                yield index["url"]
        if isinstance(content.get("index-url"), str):
            yield content["index-url"]


def _pip_files(environment: Mapping[str, str], home: Path) -> Iterator[str]:
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    chosen = [Path(environment["PIP_CONFIG_FILE"])] if environment.get("PIP_CONFIG_FILE") else []
    for path in (*chosen, own, home / ".pip" / "pip.conf", Path("/etc/pip.conf")):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text())
        except (OSError, ValueError, configparser.Error):
            continue
        if value := parser.get("global", "index-url", fallback=""):
            yield value


def _uv_default(uv: str) -> str:
    found = _DEFAULT_INDEX.search(_say([uv, "pip", "install", "--help"], {**_quiet(), "NO_COLOR": "1"}))
    if found is None:
        raise RegistryError("uv does not say what its default index is: set python_index")
    return found[1]


def _file_places(uv: str, index: str) -> set[Place] | None:
    """Return where the index's files are, as uv tells; None where it or our package cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        command = [uv, "pip", "install", "--verbose", "--dry-run", "--no-config", "--no-build"]
        command += ["--python", sys.executable]
        command += ["--cache-dir", f"{folder}/cache", "--target", f"{folder}/target"]
        command += ["--default-index", index, _PROBE_PACKAGE]
        try:
            said = _say(command, {**_quiet(), "NO_COLOR": "1", "UV_HTTP_RETRIES": "0"})
        except RegistryError:
            return None
    return {place_of(url) for url in _REQUESTED.findall(said)}


def _npm_config(npm: list[str], environment: Mapping[str, str]) -> str:
    said = _say([*npm, "config", "get", "registry"], environment).split()
    if not said:
        raise RegistryError("npm does not say what its registry is: set npm_registry")
    return said[-1]


def _quiet() -> dict[str, str]:
    """Return the environment without what would make a tool look for another index."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}


def _say(command: list[str], environment: Mapping[str, str]) -> str:
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env=environment,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RegistryError(f"{Path(command[0]).name} does not answer: {type(error).__name__}") from error
    return result.stdout + (result.stderr if "--verbose" in command else "")
