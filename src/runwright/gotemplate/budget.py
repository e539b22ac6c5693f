"""How much a rendering may take."""

from typing import Final

import msgspec

from runwright.gotemplate.errors import TemplateError

_CHARACTERS_PER_STEP: Final = 64


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one rendering."""

    steps: int = 50_000
    """What is evaluated, each turn of a loop, each call, and every 64 characters that are copied."""
    characters: int = 1_048_576
    """Of the output, and of every text on the way to it."""
    depth: int = 64
    """Blocks, parentheses and templates within one another."""


class Budget:
    """What is left of the limits; every method raises TemplateError where that is not enough."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps = limits.steps
        self._depth = 0

    def spend(self, steps: int = 1) -> None:
        """Take steps off."""
        self._steps -= steps
        if self._steps < 0:
            raise TemplateError(f"the template takes more than {self._limits.steps} steps")

    def bound(self, characters: int) -> None:
        """See that a text of this length is within the bound."""
        if characters > self._limits.characters:
            raise TemplateError(f"the template makes more than {self._limits.characters} characters")

    def copy(self, characters: int) -> None:
        """Take off what it costs to make or read a text of this length."""
        self.bound(characters)
        self.spend(characters // _CHARACTERS_PER_STEP)

    def enter(self) -> None:
        """Go one level deeper."""
        self._depth += 1
        if self._depth > self._limits.depth:
            raise TemplateError(f"exceeded maximum template depth ({self._limits.depth})")

    def leave(self) -> None:
        """Come up again."""
        self._depth -= 1
