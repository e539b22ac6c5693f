"""Self-hosted serverless workers, event agents and automations in one Python server.

`Runwright` and `AsyncRunwright` are the SDK; they are imported when they are first used. Inside a sandbox
there are `job`, `log` and `JobCallError` as well, which its harness offers (docs/handlers.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runwright.client import AsyncRunwright, Runwright

__all__ = ["AsyncRunwright", "Runwright", "__version__"]

__version__ = "0.1.0"

_CLIENTS: Final = frozenset({"Runwright", "AsyncRunwright"})
_OF_HANDLERS: Final = frozenset({"job", "log", "JobCallError"})
_HANDLER_MODULE: Final = "runwright_job"
"""The module of the harness that has them."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  of any attribute
    if name in _OF_HANDLERS:
        try:
            return getattr(import_module(_HANDLER_MODULE), name)
        except ModuleNotFoundError:
            raise AttributeError(f"{name} is for handlers, inside a sandbox of Runwright only") from None
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("runwright.client"), name)
