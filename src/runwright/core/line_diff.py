"""Unified diffs of texts, in a bounded number of steps.

The shortest edit is looked for by Myers' algorithm. Its cost grows with the number of differences, which a
user's text decides, so that every step is charged to a budget; a text for which the budget does not suffice
is shown as replaced from its first to its last differing line.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

CONTEXT_LINES: Final = 3
MOST_DIFFERENCES: Final = 1_000
"""Inserted and deleted lines of a shortest edit; beyond them the memory would grow with their square."""

_NO_NEWLINE: Final = "\\ No newline at end of file\n"


class StepBudget:
    """How many steps may be taken for several texts together."""

    def __init__(self, steps: int) -> None:
        self.left = steps


class Change(msgspec.Struct, frozen=True):
    """Lines `old_start` to `old_end` (exclusive) become lines `new_start` to `new_end`."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


class TextDiff(msgspec.Struct, frozen=True):
    """A unified diff without its two lines of names, and how many lines it adds and removes."""

    text: str
    added: int
    removed: int


def diff_texts(old: str, new: str, budget: StepBudget) -> TextDiff:
    """Return the differences between two texts."""
    old_lines, new_lines = _lines(old), _lines(new)
    changes = _changes(old_lines, new_lines, budget)
    text = "".join(_hunk(group, old_lines, new_lines) for group in _groups(changes))
    added = sum(change.new_end - change.new_start for change in changes)
    return TextDiff(text, added, sum(change.old_end - change.old_start for change in changes))


def _lines(text: str) -> list[str]:
    """Return the lines with their ends; only a line feed ends a line, as in every diff."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()
    return lines if last == "\n" else [*lines, last[:-1]]


def _changes(old: Sequence[str], new: Sequence[str], budget: StepBudget) -> list[Change]:
    """Return what changes between the first and the last differing line, in order."""
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    same_end = 0
    while same_end < most - start and old[-1 - same_end] == new[-1 - same_end]:
        same_end += 1
    numbers: dict[str, int] = {}
    middle = [
        [numbers.setdefault(line, len(numbers)) for line in lines[start : len(lines) - same_end]]
        for lines in (old, new)
    ]
    found = _shortest_edit(middle[0], middle[1], budget)
    return [Change(*(n + start for n in msgspec.structs.astuple(change))) for change in found]


def _shortest_edit(old: Sequence[int], new: Sequence[int], budget: StepBudget) -> list[Change]:
    """Return the changes of a shortest edit; a single one where looking for it takes too many steps."""
    if not old or not new:
        return [Change(0, len(old), 0, len(new))] if old or new else []
    trace: list[list[int]] = []
    """For each number of differences: how far the old text was followed, by diagonal from -d to d."""
    reached = [0, 0]
    for differences in range(min(len(old) + len(new), MOST_DIFFERENCES) + 1):
        reached, arrived = _advance(old, new, reached, differences, budget)
        trace.append(reached)
        if arrived:
            return _merged(_walk_back(trace, len(old), len(new)))
        if budget.left <= 0:
            break
    return [Change(0, len(old), 0, len(new))]


def _advance(
    old: Sequence[int], new: Sequence[int], before: Sequence[int], differences: int, budget: StepBudget
) -> tuple[list[int], bool]:
    """Return how far each diagonal is reached with one difference more, and whether that is the end.

    `before` has the diagonals -d+1 to d-1 at every second index, from 0 on.
    """
    reached: list[int] = []
    for index in range(differences + 1):
        diagonal = 2 * index - differences
        x = _start(before, index, differences)
        y, begin = x - diagonal, x
        while x < len(old) and y < len(new) and old[x] == new[y]:
            x, y = x + 1, y + 1
        budget.left -= 1 + x - begin
        reached.append(x)
        if x >= len(old) and y >= len(new):
            return reached, True
    return reached, False


def _start(before: Sequence[int], index: int, differences: int) -> int:
    """Return where a diagonal begins: below the better neighbour or right of it, of the step before."""
    if differences == 0:
        return 0
    if index == 0:
        return before[0]
    if index == differences or before[index - 1] >= before[index]:
        return before[index - 1] + 1
    return before[index]


def _walk_back(trace: Sequence[Sequence[int]], x: int, y: int) -> Iterator[Change]:
    """Yield the single differences of the edit that a trace has found, the last one first."""
    for differences in range(len(trace) - 1, 0, -1):
        before = trace[differences - 1]
        index = (x - y + differences) // 2
        begin = _start(before, index, differences)
        deletes = index == differences or (index > 0 and before[index - 1] >= before[index])
        x = begin - 1 if deletes else begin
        y = (begin - (2 * index - differences)) - (0 if deletes else 1)
        yield Change(x, x + 1, y, y) if deletes else Change(x, x, y, y + 1)


def _merged(backwards: Iterator[Change]) -> list[Change]:
    """Return single differences in their order, those that touch each other as one."""
    merged: list[Change] = []
    for change in reversed(list(backwards)):
        last = merged[-1] if merged else None
        if last is not None and (last.old_end, last.new_end) == (change.old_start, change.new_start):
            merged[-1] = Change(last.old_start, change.old_end, last.new_start, change.new_end)
        else:
            merged.append(change)
    return merged


def _groups(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield the changes of each hunk: those whose context meets."""
    group: list[Change] = []
    for change in changes:
        if group and change.old_start - group[-1].old_end > 2 * CONTEXT_LINES:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(group: Sequence[Change], old: Sequence[str], new: Sequence[str]) -> str:
    first, last = group[0], group[-1]
    before = min(CONTEXT_LINES, first.old_start)
    after = min(CONTEXT_LINES, len(old) - last.old_end)
    begin, end = first.old_start - before, last.old_end + after
    places = (
        _place(begin, end - begin),
        _place(first.new_start - before, last.new_end + after - first.new_start + before),
    )
    parts = [f"@@ -{places[0]} +{places[1]} @@\n"]
    at = begin
    for change in group:
        parts += [_line(" ", line) for line in old[at : change.old_start]]
        parts += [_line("-", line) for line in old[change.old_start : change.old_end]]
        parts += [_line("+", line) for line in new[change.new_start : change.new_end]]
        at = change.old_end
    return "".join(parts + [_line(" ", line) for line in old[at:end]])


def _place(start: int, length: int) -> str:
    """Return a range of lines as a hunk's header has it: an empty one is after the line that it names."""
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _line(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{_NO_NEWLINE}"
