"""What a bundle says that it depends on.

Only what is returned here enters the build: the manifests, checked and written anew. Everything
in them is hostile. What would make a tool look elsewhere than at the operator's registry (another
index, a URL, a repository, a path) is refused by name, so that people learn it from the status and
not from a tool's riddle; that the tool cannot get there anyway is for the sandbox to see to.
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

import msgspec

from runwright.builds.deno_manifest import depends_on_modules, module_notes
from runwright.builds.errors import ManifestError, Refused
from runwright.builds.npm_manifest import read_packages
from runwright.builds.python_manifest import read_requirements

_MANIFEST_BYTES: Final = 8 * 1024 * 1024


class Read(Protocol):
    """Reads a file of a bundle."""

    def __call__(self, path: str, /, *, at_most: int) -> bytes | None:
        """Return the beginning of a file; None where there is no such file."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be installed."""

    files: dict[str, str] = {}
    """The files that the tool reads, by path."""
    requires_python: str | None = None
    needs_bundle: bool = False
    """The tool must see all files of the bundle: what it depends on is in the sources."""
    notes: tuple[str, ...] = ()
    """What the log should say about how they were read."""


def read_manifest(
    runtime: str, entrypoint: str, names: Collection[str], read: Read, *, allowed: Callable[[str], bool]
) -> Manifest | None:
    """Return what a bundle depends on; None where it depends on nothing.

    `names` are the paths of its files; `allowed` tells whether a URL lies on a host of the
    operator's registries. Raises ManifestError.
    """

    def text(name: str) -> str | None:
        return _text(name, read)

    try:
        if runtime == "python":
            files, requires = read_requirements(entrypoint, text, allowed=allowed)
            return Manifest(files=files, requires_python=requires) if files else None
        if runtime == "nodejs":
            vendored = any(name.startswith("node_modules/") for name in names)
            files, notes = ({}, ()) if vendored else read_packages(names, text, allowed=allowed)
            return Manifest(files=files, notes=notes) if files else None
        if runtime == "deno" and depends_on_modules(names, text, lambda name, size: read(name, at_most=size)):
            return Manifest(needs_bundle=True, notes=module_notes(names))
    except Refused as refused:
        raise ManifestError(str(refused)) from refused
    return None


def wants_layer(runtime: str, entrypoint: str, names: Collection[str], read: Read) -> bool:
    """Tell whether a bundle depends on anything, or says so in a way that cannot be read."""
    try:
        manifest = read_manifest(runtime, entrypoint, names, read, allowed=lambda _url: True)
    except ManifestError:
        return True
    return manifest is not None


def _text(name: str, read: Read) -> str | None:
    content = read(name, at_most=_MANIFEST_BYTES + 1)
    if content is None:
        return None
    if len(content) > _MANIFEST_BYTES:
        raise Refused(f"{name} is larger than {_MANIFEST_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{name} is not UTF-8 text") from error
