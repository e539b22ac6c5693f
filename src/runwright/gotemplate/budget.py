"""The limits of one rendering, and what is left of them."""

from typing import Final

import msgspec

from runwright.gotemplate.errors import TemplateError

_CHARACTERS_PER_STEP: Final = 64


class RenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one rendering."""

    steps: int = 50_000
    """A few microseconds each: an operand is one, as are 64 copied characters; what takes longer is more."""
    characters: int = 1_048_576
    """Of the output, and of every intermediate text."""
    depth: int = 64
    """The nesting of blocks, parentheses and templates."""


class RenderBudget:
    """The rest of the limits. Every method raises TemplateError if a limit is exceeded."""

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._steps = limits.steps
        self._depth = 0

    def spend(self, steps: int = 1) -> None:
        """Spend steps."""
        self._steps -= steps
        if self._steps < 0:
            raise TemplateError(f"the template takes more than {self._limits.steps} steps")

    def bound(self, characters: int) -> None:
        """Check the length of a text."""
        if characters > self._limits.characters:
            raise TemplateError(f"the template makes more than {self._limits.characters} characters")

    def copy(self, characters: int) -> None:
        """Spend the cost of creating or reading a text of this length."""
        self.bound(characters)
        self.spend(characters // _CHARACTERS_PER_STEP)

    def enter(self) -> None:
        """Enter a level of nesting."""
        self._depth += 1
        if self._depth > self._limits.depth:
            raise TemplateError(f"exceeded maximum template depth ({self._limits.depth})")

    def leave(self) -> None:
        """Leave a level of nesting."""
        self._depth -= 1
