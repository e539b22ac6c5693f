"""Self-hosted serverless workers, event agents and automations in one Python server.

`Runwright` and `AsyncRunwright` are the SDK; they are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runwright.client import AsyncRunwright, Runwright

__all__ = ["AsyncRunwright", "Runwright", "__version__"]

__version__ = "0.1.0"

_CLIENTS: Final = frozenset({"Runwright", "AsyncRunwright"})


def __getattr__(name: str) -> Any:  # noqa: ANN401  of any attribute
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("runwright.client"), name)
