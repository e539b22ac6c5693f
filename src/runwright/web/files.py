"""The files of the dashboard, by the manifest that their build wrote.

Only what the manifest lists is read, so no path leads out of the folder; and all of it when the server starts
(a megabyte or two), so that a build beside a running server takes nothing away from it.
"""

from collections.abc import Collection, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, Literal, Self

import msgspec

MANIFEST: Final = "manifest.json"
INDEX: Final = "index.html"

Encoding = Literal["br", "gzip"]
_SUFFIXES: Final[dict[Encoding, str]] = {"br": ".br", "gzip": ".gz"}


class WebFile(msgspec.Struct, frozen=True, kw_only=True):
    """How one file is served."""

    etag: str
    encodings: tuple[Encoding, ...]
    """The encodings in which it is stored, besides the plain file; the smallest first."""
    hashed: bool
    """Its name contains a hash of its content, so it never changes."""


class _Manifest(msgspec.Struct, frozen=True):
    pages: frozenset[str]
    files: dict[str, WebFile]


class Dashboard:
    """The files of a dashboard. One that was not built has none."""

    def __init__(
        self,
        pages: Collection[str],
        files: Mapping[str, WebFile],
        contents: Mapping[tuple[str, Encoding | None], bytes],
    ) -> None:
        """`contents`: by name, each file plain and in each of its encodings."""
        self.pages = pages
        """The first segments of the paths of its pages."""
        self.files = files
        """By path relative to the folder, such as `assets/index-Bx3.js`."""
        self._contents = contents

    @classmethod
    def open(cls, folder: Traversable | None = None) -> Self:
        """Return the dashboard in a folder, by default that of this installation."""
        if folder is None:
            folder = resources.files(__package__) / "built"
        try:
            text = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return cls((), {}, {})
        manifest = msgspec.json.decode(text, type=_Manifest)
        contents = {
            (name, encoding): _read(folder, name, encoding)
            for name, file in manifest.files.items()
            for encoding in (None, *file.encodings)
        }
        return cls(manifest.pages, manifest.files, contents)

    @property
    def is_built(self) -> bool:
        """Whether there is a dashboard."""
        return INDEX in self.files

    def read(self, name: str, encoding: Encoding | None = None) -> bytes:
        """Return the content of one of `files`, plain or in one of its encodings."""
        return self._contents[name, encoding]


def _read(folder: Traversable, name: str, encoding: Encoding | None) -> bytes:
    suffix = "" if encoding is None else _SUFFIXES[encoding]
    return folder.joinpath(*f"{name}{suffix}".split("/")).read_bytes()
