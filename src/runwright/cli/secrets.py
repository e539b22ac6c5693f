"""`runwright secrets`: values that workers get as environment variables. They go in, and never come out."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.cli.apps import Commands
from runwright.cli.completion import complete_secrets
from runwright.cli.exits import UsageError
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column
from runwright.cli.prompts import read_secret
from runwright.cli.remote import DryRun, Remote, reads, writes
from runwright.cli.stdin import read_bounded
from runwright.cli.terminal import painter
from runwright.cli.times import ago
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runwright.client.models.tenants import SecretEntry

app = Commands(COMMANDS["secrets"])

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The environment variable.", autocompletion=complete_secrets)
]
_VARIABLE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_SAME_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_FILE: Final = 16 * 1024 * 1024
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


@app.command("list")
@reads
def list_(remote: Remote) -> None:
    """List the names of secrets; values are never shown.

    Examples:
    $ runwright secrets list
    """
    now = datetime.now(UTC)
    columns: Sequence[Column[SecretEntry]] = (
        Column("NAME", lambda one: one.name, style=lambda _: "bold"),
        Column("CHANGED", lambda one: f"{ago(one.updated_at, now)} ago"),
    )
    remote.output.rows(remote.client.secrets.list(), columns, empty="There are no secrets yet.")


@app.command("set")
@writes
def set_(remote: Remote, *, name: _Name) -> None:
    """Set a secret. Its value is asked for, or read from stdin; it is never an argument.

    Workers that list the name get it from their next attempt on.

    Examples:
    $ printf %s "$TOKEN" | runwright secrets set API_TOKEN
    """
    _require_name(name)
    value = read_secret(f"Value of {name}")
    made = remote.writer.secrets.set(name, value)
    remote.output.thing(made, lambda: f"{painter(sys.stdout)('green', '✓')} {made.name} is set")


@app.command()
@writes
def rm(remote: Remote, *, name: _Name) -> None:
    """Delete a secret. Jobs of workers that list it fail from now on.

    Examples:
    $ runwright secrets rm API_TOKEN -y
    """
    remote.confirm(f"The secret {name}. Delete it for good?")
    remote.writer.secrets.delete(name)
    remote.output.thing({"name": name, "deleted": True}, lambda: f"{name} is deleted")


@app.command("import")
@writes
def import_(
    remote: Remote,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file such as .env; - is stdin.")],
    dry_run: DryRun = False,
) -> None:
    """Set all variables of a .env file as secrets.

    Examples:
    $ runwright secrets import .env --dry-run
    $ runwright secrets import .env
    """
    values = read_env(_text_of(file))
    if not values:
        raise UsageError(f"{file} has no variables.")
    if not dry_run:
        for name, value in values.items():
            _set(remote, name, value)
    done = "would set" if dry_run else "set"
    remote.output.thing({"names": list(values), "dry_run": dry_run}, lambda: f"{done} {', '.join(values)}")


def _set(remote: Remote, name: str, value: str) -> None:
    """Set one of several secrets; a refusal names it, as none of the file has the name of the API's field."""
    try:
        remote.writer.secrets.set(name, value)
    except ApiError as error:
        if not error.fields:
            raise
        problems = [one for texts in error.fields.values() for one in texts]
        raise UsageError(
            f"The secret {name} is refused, and those after it are not set.", fields={name: problems}
        ) from None


def _require_name(name: str) -> None:
    if "=" in name:
        raise UsageError(
            "A value is never an argument.", hint=f"runwright secrets set {name.partition('=')[0]}"
        )
    if not _SAME_NAME.fullmatch(name):
        raise UsageError("The name of a secret has letters, digits and '_', and begins with no digit.")


def _text_of(file: Path) -> str:
    try:
        if str(file) == "-":
            return read_bounded(sys.stdin, "stdin", _LARGEST_FILE)
        with file.open(encoding="utf-8-sig") as opened:
            return read_bounded(opened, str(file), _LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None


def read_env(text: str) -> "Mapping[str, str]":
    """Return the variables of a .env file. UsageError names the line that is none; values are never shown."""
    values: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _VARIABLE.match(line)
        if found is None:
            raise UsageError(f"Line {number} is no NAME=VALUE.")
        raw = found[2].lstrip()
        while raw[:1] in {'"', "'"} and not _is_closed(raw):
            _, following = next(lines, (0, None))
            if following is None:
                raise UsageError(f"The quote in line {number} is not closed.")
            raw += f"\n{following}"
        values[found[1]] = _value(raw)
    return values


def _is_closed(raw: str) -> bool:
    """Return whether a value that begins with a quote has its end."""
    escaped = False
    for letter in raw[1:]:
        if letter == raw[0] and not escaped:
            return True
        escaped = letter == "\\" and not escaped and raw[0] == '"'
    return False


def _value(raw: str) -> str:
    if raw[:1] == "'":
        return raw[1 : raw.index("'", 1)]
    if raw[:1] == '"':
        return _unescaped(raw[1:])
    return re.split(r"\s#", raw, maxsplit=1)[0].strip()


def _unescaped(text: str) -> str:
    """Return the text up to the quote that ends it."""
    value, letters = "", iter(text)
    for letter in letters:
        if letter == '"':
            break
        if letter == "\\":
            following = next(letters, "")
            value += _ESCAPES.get(following, f"\\{following}")
        else:
            value += letter
    return value
