"""Unified diffs: applied to the old text they make the new one, and no text makes them costly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.line_diff import MOST_DIFFERENCES, StepBudget, diff_texts

TEXTS = st.lists(st.sampled_from(["a", "b", "", " c\r", "d\x0b", "-e", "+f"]), max_size=40).map("\n".join)
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")
_MARK = "\\ No newline at end of file\n"


def lines_of(text: str) -> list[str]:
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [text.rpartition("\n")[2]] * (
        not text.endswith("\n") and bool(text)
    )


def apply(diff: str, old: str) -> str:
    """Do what `patch` does, and check what it checks."""
    source, made, at = lines_of(old), list[str](), 0
    lines = [f"{line}\n" for line in diff.split("\n")[:-1]]
    for index, line in enumerate(lines):
        text = line[1:]
        if index + 1 < len(lines) and lines[index + 1] == _MARK:
            text = text[:-1]
        if header := _HUNK.fullmatch(line):
            start = int(header[1]) - (header[2] != "0")
            made += source[at:start]
            at = start
            assert len(made) == int(header[3]) - (header[4] != "0")
        elif line != _MARK:
            if line[0] in " -":
                assert source[at] == text
                at += 1
            if line[0] in " +":
                made.append(text)
    return "".join(made + source[at:])


@given(TEXTS, TEXTS)
def test_a_diff_applied_to_the_old_text_makes_the_new_one(old: str, new: str) -> None:
    found = diff_texts(old, new, StepBudget(100_000))
    assert apply(found.text, old) == new
    assert len(lines_of(new)) - len(lines_of(old)) == found.added - found.removed
    assert (found.text == "") == (old == new)


def test_it_is_the_shortest_with_three_lines_of_context() -> None:
    old = "".join(f"{n}\n" for n in range(1, 21))
    new = old.replace("5\n", "five\n", 1).replace("18\n", "")
    assert diff_texts(old, new, StepBudget(1000)).text == (
        "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -15,6 +15,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n"
    )


@pytest.mark.parametrize("steps", [0, 1, 50, 1000])
def test_without_steps_the_differing_lines_are_replaced_as_a_whole(steps: int) -> None:
    old = "same\n" + "".join(f"{n % 7}\n" for n in range(500)) + "end\n"
    new = "same\n" + "".join(f"{n % 5}\n" for n in range(500)) + "end\n"
    budget = StepBudget(steps)
    found = diff_texts(old, new, budget)
    assert apply(found.text, old) == new
    assert found.added >= 400
    assert budget.left > -10_000


def test_texts_without_a_common_line_are_replaced_before_the_memory_grows() -> None:
    most = 4 * MOST_DIFFERENCES
    old, new = ("".join(f"{side}{n}\n" for n in range(most)) for side in "ab")
    budget = StepBudget(10**9)
    assert diff_texts(old, new, budget).removed == most
    assert 10**9 - budget.left < MOST_DIFFERENCES**2


@pytest.mark.parametrize(("same", "hunks"), [(5, 1), (6, 1), (7, 2)])
def test_changes_share_a_hunk_where_their_contexts_meet(same: int, hunks: int) -> None:
    between = "".join(f"{n}\n" for n in range(same))
    found = diff_texts(f"a\n{between}b\n", f"A\n{between}B\n", StepBudget(1000))
    assert found.text.count("@@ -") == hunks
    assert (found.added, found.removed) == (2, 2)


def test_each_line_that_is_looked_at_costs_a_step() -> None:
    lines = "".join(f"{n}\n" for n in range(1000))
    budget = StepBudget(100_000)
    diff_texts(f"first\n{lines}last\n", f"First\n{lines}Last\n", budget)
    assert 1000 <= 100_000 - budget.left <= 1100
    untouched = StepBudget(10)
    assert diff_texts(lines, lines, untouched).text == ""
    assert untouched.left == 10


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("", "a\n", "@@ -0,0 +1 @@\n+a\n"),
        ("a\n", "", "@@ -1 +0,0 @@\n-a\n"),
        ("a\nb", "a\nb\n", f"@@ -1,2 +1,2 @@\n a\n-b\n{_MARK}+b\n"),
        ("a\n", "a\nb\nc\n", "@@ -1 +1,3 @@\n a\n+b\n+c\n"),
        ("x\na\ny\n", "x\nb\na\ny\n", "@@ -1,3 +1,4 @@\n x\n+b\n a\n y\n"),
    ],
)
def test_headers_and_missing_line_ends_are_those_of_every_diff(old: str, new: str, text: str) -> None:
    assert diff_texts(old, new, StepBudget(100)).text == text


def test_deletions_come_before_insertions_where_both_are_shortest() -> None:
    found = diff_texts("a\nb\nc\n", "b\nc\nd\n", StepBudget(100))
    assert found.text == "@@ -1,3 +1,3 @@\n-a\n b\n c\n+d\n"
