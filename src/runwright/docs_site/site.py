"""The files of the documentation site, by the manifest that its build wrote.

Only what the manifest lists can be read, so no path leads out of the folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

BUILT: Final = Path(__file__).parent / "built"
"""Where the site is in a checkout and in the wheel."""

MANIFEST: Final = "manifest.json"


class SiteFile(msgspec.Struct, frozen=True, kw_only=True):
    """How one file is served."""

    media_type: str
    etag: str
    policy: str
    """Its Content-Security-Policy."""
    hashed: bool
    """Its name contains a hash of its content, so it never changes."""


class DocsSite:
    """The files of a site. One that was not built has none."""

    def __init__(self, folder: Path, files: Mapping[str, SiteFile]) -> None:
        self._folder = folder
        self.files = files
        """By path relative to the site, such as `quickstart/index.html`."""

    @classmethod
    def open(cls, folder: Path = BUILT) -> Self:
        """Return the site in a folder."""
        try:
            manifest = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return cls(folder, {})
        return cls(folder, msgspec.json.decode(manifest, type=dict[str, SiteFile]))

    def path_of(self, name: str) -> Path:
        """Return where a file of the site is; `name` is a key of `files`."""
        if name not in self.files:
            raise KeyError(name)
        return self._folder / name
