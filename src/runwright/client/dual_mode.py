"""One implementation for blocking and asynchronous programs.

Every method is written once, as a coroutine. `Call` is the descriptor that they are decorated with: in the
asynchronous mode it gives the coroutine function, in the synchronous one a function that runs the coroutine
to its end. That needs no event loop and no thread, because what a synchronous client awaits (the functions of
`BlockingTransport`) blocks and never suspends; so it works in threads, in notebooks, and inside a running
event loop.

The type parameter of a class names its mode, and the overloads of `Call.__get__` select the type by it: with
`JobsApi[Sync]`, `jobs.get("job_…")` is a `JobInfo`, and with `JobsApi[Async]` a coroutine that returns one.
"""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from runwright.client.session import Session


class Mode:
    """How methods return: the base of `Sync` and `Async`, which exist for type checkers only."""


class Sync(Mode):
    """Methods block and return results; sequences are iterators."""


class Async(Mode):
    """Methods return coroutines; sequences are asynchronous iterators."""


M = TypeVar("M", bound=Mode)
P = ParamSpec("P")
T = TypeVar("T")


class DualMode(Generic[M]):
    """What has methods that block or return coroutines, depending on its session's transport."""

    def __init__(self, session: "Session") -> None:
        self._session = session


class Call(Generic[P, T]):
    """A method that is written as a coroutine and available in both modes."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        @functools.wraps(function)
        def blocking(owner: object, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return finish(function(owner, *args, **kwargs))

        self._function = function
        self._blocking = blocking
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "Call[P, T]": ...
    @overload
    def __get__(self, owner: DualMode[Sync], kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: DualMode[Async], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: DualMode[Any] | None, kind: type) -> Any:
        if owner is None:
            return self
        blocking = owner._session.blocking  # noqa: SLF001  which decides the mode
        return MethodType(self._blocking if blocking else self._function, owner)


def call(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Call[P, T]:
    """Make a coroutine function a method of both modes."""
    return Call(function)


def finish(awaitable: Awaitable[T]) -> T:
    """Return the result of an awaitable that never suspends."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("A call of a blocking client was suspended.")


class Iteration(DualMode[M], Generic[M, T]):
    """Things that arrive one by one, fetched as they are asked for: `for`, or `async for`.

    Each iteration asks the server anew.
    """

    def __init__(self, session: "Session", produce: Callable[[], AsyncGenerator[T, None]]) -> None:
        super().__init__(session)
        self._produce = produce

    def __iter__(self: "Iteration[Sync, T]") -> Iterator[T]:
        return walk(self._produce())

    def __aiter__(self: "Iteration[Async, T]") -> AsyncIterator[T]:
        return self._produce()


def walk(things: AsyncGenerator[T, None]) -> Iterator[T]:
    """Yield what an asynchronous generator that never suspends yields, and close it at the end."""
    try:
        while True:
            try:
                thing = finish(things.__anext__())
            except StopAsyncIteration:
                return
            yield thing
    finally:
        finish(things.aclose())
