"""Options that stand before a command count as if they stood behind it."""

import pytest

from runwright.cli.main import with_options_last


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("jobs list", "jobs list"),
        ("--url X jobs list", "jobs list --url X"),
        ("--url=X -o json jobs list -n 5", "jobs list -n 5 --url=X -o json"),
        ("--json --profile p run digest -- x", "run digest --json --profile p -- x"),
        ("--nonsense jobs", "--nonsense jobs"),
        ("--url X", "--url X"),
        ("--url", "--url"),
    ],
)
def test_options_before_a_command_are_moved_behind_it(typed: str, meant: str) -> None:
    assert with_options_last(typed.split()) == meant.split()
