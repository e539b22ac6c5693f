"""Named events of the logic with their facts; one place outside turns them into logs and metrics."""

from typing import Protocol


class EmitEvent(Protocol):
    """Says that something happened: a name from the code's vocabulary and plain facts, no secrets."""

    def __call__(self, name: str, /, **facts: str | float | None) -> None:
        """Take note; never raises and never blocks."""
