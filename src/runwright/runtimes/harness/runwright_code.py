"""The code of a worker in its sandbox: where it is, and the variables it runs with."""

import json
import os

from runwright_text import BOM


class CodeLoad:
    """The content of a LOAD frame: the entrypoint, and its source or the folders that contain it."""

    def __init__(self, payload: bytes) -> None:
        size = int.from_bytes(payload[:4], "little")
        fields = json.loads(payload[4 : 4 + size])
        self.fields = fields
        self.entrypoint: str = fields["entrypoint"]
        self.folder: str | None = fields.get("folder")
        self.layer: str | None = fields.get("layer")
        self.source = payload[4 + size :]


class Environment:
    """Sets a job's variables in os.environ and restores it afterwards."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}

    def enter(self, env: dict[str, str]) -> None:
        """Set the variables that os.environ can hold; the handler's `env` argument has all of them."""
        for key, value in env.items():
            if key and "=" not in key and "\0" not in key and "\0" not in value:
                self._before.setdefault(key, os.environ.get(key))
                os.environ[key] = value

    def leave(self) -> None:
        """Restore the previous values."""
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        self._before.clear()


def bundled_path(folder: str, entrypoint: str) -> str:
    """Return the path of a bundle's entrypoint, which must be inside the bundle."""
    path = os.path.join(folder, entrypoint)
    real = os.path.realpath(path)
    if real != os.path.join(os.path.realpath(folder), entrypoint) or not os.path.isfile(path):
        raise FileNotFoundError(f"The bundle has no file {entrypoint}")
    return path


def write_source(entrypoint: str, source: bytes) -> str:
    """Write the code into the working directory and return its path."""
    path = os.path.join(os.getcwd(), entrypoint)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(source.removeprefix(BOM))
    return path
