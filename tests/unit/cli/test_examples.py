"""Every command has an example in its help, and the examples are command lines that exist."""

import shlex
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import typer

from runwright.cli.apps import Root, load_command
from runwright.cli.help import render_help, render_index, split_doc
from runwright.cli.index import COMMANDS, EXAMPLES

Parsed: TypeAlias = Any
"""A command as Typer makes it; its types are private."""


def commands(command: Parsed, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the commands below a noun that do something."""
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield path, command
    for name, one in below.items():
        yield from commands(one, (*path, name))


ALL = [pair for noun in COMMANDS for pair in commands(load_command(noun), (noun,))]


def examples(command: Parsed) -> list[str]:
    """Return the examples of a command, each on one line."""
    lines = split_doc(command.help or "")[1]
    joined = "\n".join(lines).replace("\\\n", "")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def parse(words: list[str]) -> None:
    """Parse a command line as Typer does, without running it."""
    command: Any = Root()
    context: Any = None
    while getattr(command, "commands", None) is not None or isinstance(command, Root):
        found = command.get_command(context or typer.Context(command), words[0]) if words else None
        if found is None:
            break
        command, words = found, words[1:]
    command.make_context("runwright", words)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_has_an_example_that_can_be_parsed(path: tuple[str, ...], command: Parsed) -> None:
    found = examples(command)
    assert found, f"{' '.join(path)} has no example"
    assert any(" ".join(("runwright", *path)) in one for one in found)
    for one in found:
        for part in one.replace("&&", "|").split("|"):
            words = shlex.split(part.split(" > ")[0])
            if words[0] == "runwright":
                parse(words[1:])


def test_the_examples_of_the_index_can_be_parsed() -> None:
    for one in EXAMPLES:
        for part in one.split("&&"):
            parse(shlex.split(part)[1:])


def test_help_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, render_index().splitlines())) <= 80
    for path, command in ALL:
        context = command.make_context("runwright", [], resilient_parsing=True)
        for line in render_help(command, context).splitlines():
            assert len(line) <= 80 or line.lstrip().startswith("$ "), (path, line)
