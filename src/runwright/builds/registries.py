"""Find the registries that the package managers install from.

No host is hard-coded. The operator's settings have priority, then the environment and the configuration
files that the package managers read, then the default of each package manager:

- python: uv names its default index in its help. The hosts of an index's files come from a dry run of
  uv for one package.
- npm: `npm config get registry`, once with the operator's configuration, and once without any, because
  lock files contain the default registry; npm asks the configured one instead.
- deno: the hosts from which a program may import by default, as its help lists them. Deno sends them
  only the names of modules, and does not run what it fetches.
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

from runwright.builds.errors import RegistryError

_SECONDS: Final = 30
_PROBE_PACKAGE: Final = "pip"
"""A package that every general index has; it is not installed."""
_DEFAULT_INDEX: Final = re.compile(r"\(by\s+default:\s+<?(https?://[^>)\s]+)>?\)")
_DEFAULT_IMPORTS: Final = re.compile(r"--allow-import\b.*?Default value:\s+(\S+)", re.DOTALL)
_REQUESTED: Final = re.compile(r"request for: (https?://\S+)")
_PORTS: Final = {"https": 443, "http": 80}
_INDEX_VARIABLES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class HostPort(msgspec.Struct, frozen=True, order=True):
    """A host and port that a build may reach."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Where one package manager installs from."""

    url: str = ""
    hosts: tuple[HostPort, ...] = ()
    """The operator's own, which may have private addresses."""
    public_hosts: tuple[HostPort, ...] = ()
    """Hosts reached at public addresses only."""
    lock_hosts: tuple[HostPort, ...] = ()
    """Further hosts that a lock file may contain; the package manager asks the registry instead."""
    complete: bool = True
    """Whether the registry answered; otherwise `hosts` may lack some, and should be determined again."""


def host_port(url: str) -> HostPort:
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
    return HostPort(parts.hostname.lower(), port or _PORTS[parts.scheme])


def parse_hosts(hosts: tuple[str, ...]) -> tuple[HostPort, ...]:
    """Return hosts given as `host` or `host:port`, with 443 as the default port."""
    return tuple(host_port(f"https://{host}") for host in hosts)


def python_registry(
    uv: str, *, configured: str | None, hosts: tuple[str, ...], home: Path, ca_file: str | None = None
) -> Registry:
    """Return the python index and the hosts of its files. `ca_file`: the certificates that a build trusts."""
    url = configured or _operators_index(os.environ, home) or _uv_default(uv)
    known = {host_port(url), *parse_hosts(hosts)}
    files = _file_hosts(uv, url, ca_file)
    return Registry(url=url, hosts=tuple(sorted(known | (files or set()))), complete=files is not None)


def npm_registry(npm: list[str], *, configured: str | None, hosts: tuple[str, ...]) -> Registry:
    """Return the npm registry."""
    url = configured or _npm_config(npm, os.environ)
    bare = {"PATH": os.environ.get("PATH", os.defpath)}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder, name)) for name in ("userconfig", "globalconfig")}
        default = _npm_config(npm, bare | {f"npm_config_{name}": path for name, path in files.items()})
    known = {host_port(url), *parse_hosts(hosts)}
    return Registry(url=url, hosts=tuple(sorted(known)), lock_hosts=(host_port(default),))


def deno_registry(deno: str, *, npm: Registry, hosts: tuple[str, ...]) -> Registry:
    """Return the npm registry and the hosts that deno imports from."""
    found = _DEFAULT_IMPORTS.search(
        _output_of([deno, "cache", "--help"], {**_neutral_environment(), "NO_COLOR": "1"})
    )
    imports = parse_hosts(tuple(found[1].split(","))) if found else ()
    known = {*npm.hosts, *parse_hosts(hosts)}
    if jsr := os.environ.get("JSR_URL"):
        known.add(host_port(jsr))
    return Registry(url=npm.url, hosts=tuple(sorted(known)), public_hosts=tuple(sorted(set(imports) - known)))


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
    found = _DEFAULT_INDEX.search(
        _output_of([uv, "pip", "install", "--help"], {**_neutral_environment(), "NO_COLOR": "1"})
    )
    if found is None:
        raise RegistryError("the default index of uv is unknown: set python_index")
    return found[1]


def _file_hosts(uv: str, index: str, ca_file: str | None) -> set[HostPort] | None:
    """Return the hosts of the index's files from a dry run of uv; None where that fails."""
    environment = {**_neutral_environment(), "NO_COLOR": "1", "UV_HTTP_RETRIES": "0"}
    if ca_file is not None:  # uv has certificates of its own, in which those of the host are missing
        environment["SSL_CERT_FILE"] = ca_file
    with tempfile.TemporaryDirectory() as folder:
        command = [uv, "pip", "install", "--verbose", "--dry-run", "--no-config", "--no-build"]
        command += ["--python", sys.executable]
        command += ["--cache-dir", f"{folder}/cache", "--target", f"{folder}/target"]
        command += ["--default-index", index, _PROBE_PACKAGE]
        try:
            output = _output_of(command, environment)
        except RegistryError:
            return None
    return {host_port(url) for url in _REQUESTED.findall(output)}


def _npm_config(npm: list[str], environment: Mapping[str, str]) -> str:
    output = _output_of([*npm, "config", "get", "registry"], environment).split()
    if not output:
        raise RegistryError("the registry of npm is unknown: set npm_registry")
    return output[-1]


def _neutral_environment() -> dict[str, str]:
    """Return the environment without the variables that select another index."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}


def _output_of(command: list[str], environment: Mapping[str, str]) -> str:
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
