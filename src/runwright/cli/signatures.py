"""Commands whose options come from more than one place, in the signature from which Typer reads them."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

CommandFunction: TypeAlias = Callable[..., None]


def own_parameters(command: CommandFunction, *, given: int) -> list[inspect.Parameter]:
    """Return the parameters of a command but for the first ones, which the decorator gives."""
    return list(inspect.signature(command).parameters.values())[given:]


def option(name: str, annotation: Any, default: object) -> inspect.Parameter:  # noqa: ANN401  any annotation
    """Return a parameter for `sign`."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def sign(function: CommandFunction, parameters: Iterable[inspect.Parameter]) -> None:
    """Give a function that takes anything the signature by which Typer calls it."""
    ordered: Sequence[inspect.Parameter] = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters
    ]
    function.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
    if hasattr(function, "__wrapped__"):
        del function.__wrapped__
