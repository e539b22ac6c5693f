"""Libraries that take much memory and that many servers never use, loaded when they are first used."""

from importlib import import_module
from typing import Any


class LazyModule:
    """A module by its name; reading anything of it loads it, which takes some 20 ms once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        return getattr(import_module(self._name), name)
