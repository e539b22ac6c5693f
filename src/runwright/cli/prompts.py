"""Questions to the person at the terminal; without one they are refused, never guessed."""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runwright.cli.exits import CommandError, ExitCode, UsageError
from runwright.cli.stdin import read_bounded
from runwright.cli.terminal import harmless, is_interactive, painter

_STDIN: Final = "-"
_LARGEST: Final = 1024 * 1024


def confirm(question: str, *, yes: bool) -> None:
    """Return when the person, or `-y`, agrees. CommandError if not; UsageError without a person to ask."""
    if yes:
        return
    if not is_interactive():
        raise UsageError(
            f"{question} This needs a confirmation.", hint="Give -y to confirm without a terminal."
        )
    answer = ask(f"{question} [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was changed.")


def require_name(name: str, given: Sequence[str], what: str) -> None:
    """Return when the name of a protected profile was typed, or given by `--yes-to`."""
    if name in given:
        return
    if not is_interactive():
        raise UsageError(f"{what} is protected.", hint=f"Give --yes-to {name} to change something there.")
    paint = painter(sys.stderr)
    if ask(f"{what} is protected. Type {paint('bold', name)} to continue: ").strip() != name:
        raise CommandError("That is not its name. Nothing was changed.")


def ask(question: str) -> str:
    """Return a line that the person types; the question is on stderr."""
    sys.stderr.write(harmless(question, sys.stderr))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise CommandError("There was no answer. Nothing was changed.", ExitCode.FAILED)
    return line


def read_secret(what: str) -> str:
    """Return a secret from a prompt that does not show it, or from stdin where that is no terminal."""
    if sys.stdin.isatty():
        return _secret_in(getpass.getpass(f"{what}: ", sys.stderr), what)
    return _secret_in(read_bounded(sys.stdin, what, _LARGEST), what)


def piped_secret(what: str) -> str:
    """Return the secret on stdin; an empty text where that is a terminal, or has none."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return read_bounded(sys.stdin, what, _LARGEST).strip()


def read_secret_option(option: str, place: str, what: str) -> str:
    """Return the secret that an option names: `-` asks for it or reads stdin, `@FILE` reads a file.

    UsageError for anything else: an argument is seen by all users of the machine, and kept in histories.
    """
    if place == _STDIN:
        return read_secret(what)
    if not place.startswith("@"):
        raise UsageError(
            f"{option}: a secret is never an argument.",
            hint=f"{option} - asks for it, or reads stdin; {option} @FILE reads a file.",
        )
    try:
        with Path(place[1:]).open(encoding="utf-8") as file:
            return _secret_in(read_bounded(file, what, _LARGEST), what)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option} {place}: {error}.") from None


def _secret_in(text: str, what: str) -> str:
    if not text.strip():
        raise UsageError(f"{what} is empty.", hint='Pipe it in: printf %s "$VALUE" | runwright …')
    return text.removesuffix("\n").removesuffix("\r")
