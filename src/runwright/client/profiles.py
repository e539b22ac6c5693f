"""Profiles: the servers that a person works with, in a private file (0600) of the user's configuration.

```toml
current = "prod"

[profiles.prod]
url = "https://runwright.example.com"
api_key = "rw_…"
tenant = "ten_acme"
protected = true
```

Comments and unknown keys are kept. The file is replaced as a whole, so a reader never sees half of it;
writers take turns by a lock beside it.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import platformdirs

from runwright.client.errors import SetupError

FILE_NAME: Final = "profiles.toml"

_PROFILES, _CURRENT = "profiles", "current"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server, and as whom to call it. `user` and `role` are needed with a platform key only."""

    url: str
    api_key: str | None = None
    tenant: str | None = None
    user: str | None = None
    role: str | None = None
    protected: bool = False
    """Whether commands that change something ask for its name first."""
    key_tenant: str | None = None
    """The tenant of the key, as the server has said; it is only shown."""

    def __repr__(self) -> str:
        key = "None" if self.api_key is None else "'…'"
        return f"Profile(url={self.url!r}, api_key={key}, tenant={self.tenant!r}, protected={self.protected})"


class Profiles:
    """The file of profiles. Raises SetupError where it cannot be read or written, or is malformed."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def all(self) -> dict[str, Profile]:
        """Return the profiles by name, in the order of the file."""
        found = self._read().get(_PROFILES, {})
        return {name: self._convert(name, fields) for name, fields in found.items()}

    def get(self, name: str) -> Profile:
        """Return a profile. Raises SetupError if there is none of that name."""
        found = self.all()
        if name not in found:
            known = ", ".join(found) or "none"
            raise SetupError(f"There is no profile {name!r}; there are: {known} ({self.path}).")
        return found[name]

    def current(self) -> str | None:
        """Return the name of the profile that is used where none is named."""
        name = self._read().get(_CURRENT)
        return name if isinstance(name, str) else None

    def save(self, name: str, profile: Profile, *, use: bool = False) -> None:
        """Create or replace a profile; `use`: it is the current one from now on."""
        if not _NAME.fullmatch(name):
            raise SetupError("The name of a profile has up to 64 letters, digits, '_', '.' and '-'.")
        fields = msgspec.to_builtins(profile)
        with self._changing() as document:
            table = document.setdefault(_PROFILES, {}).setdefault(name, {})
            for key in Profile.__struct_fields__:
                if key in fields:
                    table[key] = fields[key]
                else:
                    table.pop(key, None)
            if use:
                document[_CURRENT] = name

    def use(self, name: str) -> None:
        """Make a profile the current one."""
        self.get(name)
        with self._changing() as document:
            document[_CURRENT] = name

    def remove(self, name: str) -> None:
        """Remove a profile."""
        self.get(name)
        with self._changing() as document:
            document[_PROFILES].pop(name, None)
            if document.get(_CURRENT) == name:
                del document[_CURRENT]

    def _read(self) -> Mapping[str, Any]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{self.path} cannot be read: {error}.") from None
        tomllib: Any = import_module("tomllib")  # most users have no profiles, and commands start faster
        try:
            document: dict[str, Any] = tomllib.loads(text)
        except ValueError as error:
            raise SetupError(f"{self.path} is not TOML: {error}.") from None
        tables = document.get(_PROFILES, {})
        if not isinstance(tables, dict):
            raise SetupError(f"{self.path}: `profiles` must be tables: [profiles.NAME].")
        return document

    def _convert(self, name: str, fields: object) -> Profile:
        try:
            return msgspec.convert(fields, Profile)
        except msgspec.ValidationError as error:
            raise SetupError(f"{self.path}: the profile {name!r} is malformed: {error}.") from None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Any]:
        """Yield the document, and write it if nothing is raised."""
        tomlkit: Any = import_module("tomlkit")  # takes long to load, and reading needs none of it
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.path.with_suffix(".lock")):
                self._read()
                text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
                document = tomlkit.parse(text)
                yield document
                _replace(self.path, tomlkit.dumps(document))
        except OSError as error:
            raise SetupError(f"{self.path} cannot be written: {error.strerror}.") from None


def default_path() -> Path:
    """Return where the profiles of this user are."""
    return platformdirs.user_config_path("runwright", appauthor=False) / FILE_NAME


def _replace(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    part = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock while the file of profiles is changed."""
    with path.open("a") as file:
        try:
            fcntl: Any = import_module("fcntl")
        except ImportError:  # Windows: the last writer wins
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
