"""The text of `--help`: what it does, examples, arguments, and options by subject."""

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from runwright.cli.index import ABOUT, EXAMPLES, SECTIONS
from runwright.cli.terminal import painter, text_width

EXAMPLES_TITLE: Final = "Examples:"
_LONGEST_NAME: Final = 30
_INDENT: Final = 2
_TYPES: Final = ((re.compile(r"<(?:int|float)[^>]*>"), "N"), (re.compile(r"<(?:list\[)?str\]?>"), "TEXT"))
_NO: Final = re.compile(r"\s*\[default: no-[a-z-]+\]")


def render_index() -> str:
    """Return the help of `runwright` itself, for which no command is loaded."""
    paint = painter(sys.stdout)
    width = max(len(name) for section in SECTIONS.values() for name in section) + 3
    parts = [f"{ABOUT}\n", f"{paint('bold', 'Usage:')} runwright COMMAND [OPTIONS]\n"]
    for title, commands in SECTIONS.items():
        rows = (f"  {paint('cyan', name.ljust(width))}{summary}" for name, summary in commands.items())
        parts.append("\n".join([paint("bold", title), *rows, ""]))
    parts.append("\n".join([paint("bold", "Examples"), *(_example(f"$ {one}") for one in EXAMPLES), ""]))
    parts.append("runwright COMMAND --help has more on each; --version is the version.\n")
    return "\n".join(parts)


def split_doc(text: str) -> tuple[str, list[str]]:
    """Return a docstring without its examples, and the lines of these."""
    about, _, examples = text.partition(f"\n{EXAMPLES_TITLE}\n")
    return about.strip(), [line.strip() for line in examples.splitlines() if line.strip()]


def render_help(command: Any, ctx: Any) -> str:  # noqa: ANN401  Typer's own types are private
    """Return the help of a command or a group."""
    paint = painter(sys.stdout)
    about, examples = split_doc(command.help or "")
    usage = " ".join([ctx.command_path, *_usage(command, ctx)])
    parts = [f"{paint('bold', 'Usage:')} {usage}", _paragraphs(about)]
    if examples:
        parts.append("\n".join([paint("bold", "Examples"), *map(_example, examples)]))
    parts += [_rows(title, rows) for title, rows in _tables(command, ctx)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usage(command: Any, ctx: Any) -> Iterator[str]:  # noqa: ANN401  as above
    """Yield the parts of the usage: `[OPTIONS]`, and arguments in brackets where they can be left out."""
    yield "COMMAND" if getattr(command, "commands", None) else "[OPTIONS]"
    for parameter in command.get_params(ctx):
        if parameter.param_type_name == "argument":
            name = _argument_name(parameter)
            yield name if parameter.required else f"[{name}]"


def _argument_name(parameter: Any) -> str:  # noqa: ANN401  as above
    name = (parameter.metavar or parameter.name.upper()).strip("[].")
    return f"{name}..." if parameter.nargs != 1 else name


def _example(line: str) -> str:
    paint = painter(sys.stdout)
    return f"  {paint('dim', '$')} {line[2:]}" if line.startswith("$ ") else f"  {paint('dim', line)}"


def _paragraphs(text: str) -> str:
    width = text_width(sys.stdout)
    paragraphs = (" ".join(one.split()) for one in text.split("\n\n"))
    return "\n\n".join(textwrap.fill(one, width) for one in paragraphs)


def _tables(command: Any, ctx: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:  # noqa: ANN401  as above
    commands = [(name, _summary(command, ctx, name)) for name in getattr(command, "commands", ())]
    if commands:
        yield "Commands", commands
    tables: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            tables.setdefault(_title(parameter), []).append(
                (_name(parameter, record[0]), _NO.sub("", record[1]))
            )
    yield from ((title, rows) for title, rows in tables.items() if rows)


def _summary(group: Any, ctx: Any, name: str) -> str:  # noqa: ANN401  as above
    return split_doc(group.get_command(ctx, name).help or "")[0].partition("\n\n")[0]


def _name(parameter: Any, shown: str) -> str:  # noqa: ANN401  as above
    if parameter.param_type_name == "argument":
        return _argument_name(parameter)
    for pattern, name in _TYPES:
        shown = pattern.sub(name, shown)
    return shown


def _title(parameter: Any) -> str:  # noqa: ANN401  as above
    if parameter.param_type_name == "argument":
        return "Arguments"
    return parameter.rich_help_panel or "Options"


def _rows(title: str, rows: Sequence[tuple[str, str]]) -> str:
    names = min(max(len(name) for name, _ in rows), _LONGEST_NAME)
    lines = [line for name, text in rows for line in _row(name, " ".join(text.split()), names)]
    return "\n".join([painter(sys.stdout)("bold", title), *lines])


def _row(name: str, text: str, width: int) -> Iterable[str]:
    """Yield the lines of one row; a name that is too long has a line to itself."""
    column = width + 2 * _INDENT
    wrapped = textwrap.wrap(text, max(text_width(sys.stdout) - column, 20)) or [""]
    padded = painter(sys.stdout)("cyan", name) + " " * (width - len(name))
    if len(name) > width:
        yield f"  {padded}"
    else:
        yield f"  {padded}  {wrapped.pop(0)}".rstrip()
    for line in wrapped:
        yield " " * column + line
