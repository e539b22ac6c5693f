"""Read the manifests of a bundle: what it depends on.

Only what is returned here enters the build: the manifests, checked and rewritten. Their content is
hostile. An entry that would make the package manager look elsewhere than in the operator's registry
(another index, a URL, a repository, a path) is refused by name, so that the status of the version
explains it better than the package manager would; the sandbox's network could not reach it anyway.
"""

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from runwright.builds.deno_manifest import depends_on_modules, module_notes
from runwright.builds.errors import ManifestError, RefusedEntry
from runwright.builds.npm_manifest import read_packages
from runwright.builds.python_manifest import read_requirements
from runwright.workers.bundles.reader import ReadFile
from runwright.workers.model import RuntimeName

_MANIFEST_BYTES: Final = 8 * 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What to install."""

    files: dict[str, str] = {}
    """The files for the package manager, by path."""
    requires_python: str | None = None
    needs_bundle: bool = False
    """Whether the package manager needs the whole bundle, because the dependencies are in its sources."""
    notes: tuple[str, ...] = ()
    """Remarks for the log about how the manifests were read."""


def read_manifest(
    runtime: str, entrypoint: str, names: Collection[str], read: ReadFile, *, allowed: Callable[[str], bool]
) -> Manifest | None:
    """Return what a bundle depends on; None where it has no dependencies.

    `names` are the paths of its files; `allowed` returns whether a URL is on a host of the operator's
    registries. Raises ManifestError.
    """

    def text(name: str) -> str | None:
        return _text(name, read)

    try:
        if runtime == RuntimeName.PYTHON:
            files, requires = read_requirements(entrypoint, text, allowed=allowed)
            return Manifest(files=files, requires_python=requires) if files else None
        if runtime == RuntimeName.NODEJS:
            vendored = any(name.startswith("node_modules/") for name in names)
            files, notes = ({}, ()) if vendored else read_packages(names, text, allowed=allowed)
            return Manifest(files=files, notes=notes) if files else None
        if runtime == RuntimeName.DENO and depends_on_modules(
            names, text, lambda name, size: read(name, at_most=size)
        ):
            return Manifest(needs_bundle=True, notes=module_notes(names))
    except RefusedEntry as refused:
        raise ManifestError(str(refused)) from refused
    return None


def has_dependencies(runtime: str, entrypoint: str, names: Collection[str], read: ReadFile) -> bool:
    """Return whether a bundle has dependencies, or a manifest that cannot be read."""
    try:
        manifest = read_manifest(runtime, entrypoint, names, read, allowed=lambda _url: True)
    except ManifestError:
        return True
    return manifest is not None


def _text(name: str, read: ReadFile) -> str | None:
    content = read(name, at_most=_MANIFEST_BYTES + 1)
    if content is None:
        return None
    if len(content) > _MANIFEST_BYTES:
        raise RefusedEntry(f"{name} is larger than {_MANIFEST_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedEntry(f"{name} is not UTF-8 text") from error
