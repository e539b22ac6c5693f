"""Assemble programs of the kernel's classic BPF from instructions that jump to named labels.

A conditional jump of the machine reaches 255 instructions; one to a label further away becomes a
conditional jump over an unconditional one, so that programs need no counting.
"""

import struct
from typing import Final

LOAD: Final = 0x20
"""Load the 32-bit word at an offset of the data."""
AND: Final = 0x54
EQUAL: Final = 0x15
NOT_LESS: Final = 0x35
ANY_BIT: Final = 0x45
RETURN: Final = 0x06
_JUMP: Final = 0x05
_REACH: Final = 255
_FAR_LENGTH: Final = 3
_INSTRUCTION: Final = struct.Struct("<HBBI")
_MAX_INSTRUCTIONS: Final = 4096
"""The kernel's limit for one program."""


class _Branch:
    """A conditional jump to two labels."""

    def __init__(self, test: int, value: int, yes: str, no: str) -> None:
        self.test, self.value, self.yes, self.no = test, value, yes, no
        self.far = False

    def encode(self, to_yes: int, to_no: int) -> list[bytes]:
        """Return the instructions, given the distances from the next instruction of the program."""
        if not self.far:
            return [_INSTRUCTION.pack(self.test, to_yes, to_no, self.value)]
        return [
            _INSTRUCTION.pack(self.test, 0, 1, self.value),
            _INSTRUCTION.pack(_JUMP, 0, 0, to_yes + 1),
            _INSTRUCTION.pack(_JUMP, 0, 0, to_no),
        ]


class Assembler:
    """Collects instructions and labels; every jump must lead forward, as the kernel requires."""

    def __init__(self) -> None:
        self._items: list[bytes | _Branch | str] = []
        self._names = 0

    def new_label(self) -> str:
        """Return a label name that nothing else uses."""
        self._names += 1
        return f"_{self._names}"

    def label(self, name: str) -> None:
        """Name the position of the next instruction."""
        self._items.append(name)

    def load(self, offset: int) -> None:
        """Load the word at that offset of the data into the accumulator."""
        self._items.append(_INSTRUCTION.pack(LOAD, 0, 0, offset))

    def mask(self, bits: int) -> None:
        """Keep these bits of the accumulator."""
        self._items.append(_INSTRUCTION.pack(AND, 0, 0, bits))

    def end(self, value: int) -> None:
        """End the program with that result."""
        self._items.append(_INSTRUCTION.pack(RETURN, 0, 0, value))

    def jump(self, test: int, value: int, *, yes: str | None = None, no: str | None = None) -> None:
        """Jump to a label by a test of the accumulator; without one, continue with the next instruction."""
        following = self.new_label()
        self._items += [_Branch(test, value, yes or following, no or following), following]

    def assemble(self) -> bytes:
        """Return the program; ValueError where a label is missing or behind its jump, or it is too long."""
        while True:
            positions, length = self._positions()
            if not self._lengthen(positions):
                break
        if length > _MAX_INSTRUCTIONS:
            raise ValueError(f"the program has {length} instructions")
        return b"".join(self._encode(positions))

    def _positions(self) -> tuple[dict[str, int], int]:
        positions: dict[str, int] = {}
        at = 0
        for item in self._items:
            if isinstance(item, str):
                if item in positions:
                    raise ValueError(f"the label {item} is defined twice")
                positions[item] = at
            else:
                at += _length(item)
        return positions, at

    def _lengthen(self, positions: dict[str, int]) -> bool:
        """Mark the branches that do not reach their labels; return whether there was a new one."""
        at, changed = 0, False
        for item in self._items:
            if isinstance(item, str):
                continue
            at += _length(item)
            if isinstance(item, _Branch) and not item.far:
                changed |= (too_far := max(_distances(item, at, positions)) > _REACH)
                item.far = too_far
        return changed

    def _encode(self, positions: dict[str, int]) -> list[bytes]:
        code: list[bytes] = []
        for item in self._items:
            if isinstance(item, bytes):
                code.append(item)
            elif isinstance(item, _Branch):
                code += item.encode(*_distances(item, len(code) + _length(item), positions))
        return code


def _length(item: bytes | _Branch) -> int:
    return _FAR_LENGTH if isinstance(item, _Branch) and item.far else 1


def _distances(branch: _Branch, following: int, positions: dict[str, int]) -> tuple[int, int]:
    """Return how many instructions lie between the one after the branch and each of its labels."""
    distances = []
    for name in (branch.yes, branch.no):
        if name not in positions:
            raise ValueError(f"there is no label {name}")
        if positions[name] < following:
            raise ValueError(f"the label {name} is behind its jump")
        distances.append(positions[name] - following)
    return distances[0], distances[1]
