"""`runwright init`: a folder with a worker to start from."""

import json
import os
import re
import sys
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

from runwright.cli.exits import UsageError
from runwright.cli.project.names import FILE_NAME
from runwright.cli.terminal import argument, painter

_TEMPLATES: Final = ("cli", "templates", "init")
_GITIGNORE: Final = "gitignore.txt"


class ProjectTemplate(StrEnum):
    """What a new folder can be."""

    PYTHON = "python"
    NODE = "node"
    DENO = "deno"
    SHELL = "shell"
    WASM = "wasm"
    LLM = "llm"
    WEBHOOK = "webhook"
    CRON = "cron"


def init(
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; it is made if it does not exist.")
    ] = Path(),
    template: Annotated[
        ProjectTemplate,
        typer.Option(
            "--template", "-t", help="The language, or: a language model, an incoming webhook, a schedule."
        ),
    ] = ProjectTemplate.PYTHON,
    name: Annotated[str | None, typer.Option(help="The name of the worker; by default the folder's.")] = None,
) -> None:
    """Create a folder with a worker to start from.

    Files that exist are never overwritten.

    Examples:
    $ runwright init hello
    $ runwright init report --template cron
    """
    worker = name or folder.resolve().name or "worker"
    files = _files(template, worker)
    existing = [file for file in files if os.path.lexists(folder / file) and file != ".gitignore"]
    if existing:
        raise UsageError(
            f"{folder / existing[0]} exists already; nothing was written.", hint="Name another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = [file for file, text in files.items() if _write(folder / file, text)]
    _show(folder, worker, written)


def _files(template: ProjectTemplate, worker: str) -> dict[str, str]:
    """Return the files of a template by name."""
    root = resources.files("runwright").joinpath(*_TEMPLATES)
    texts = {one.name: one.read_text(encoding="utf-8") for one in _sorted(root / template.value)}
    texts[FILE_NAME] = _filled(texts[FILE_NAME], worker)
    return texts | {".gitignore": (root / _GITIGNORE).read_text(encoding="utf-8")}


def _sorted(folder: Traversable) -> list[Traversable]:
    return sorted((one for one in folder.iterdir() if one.is_file()), key=lambda one: one.name)


def _filled(text: str, worker: str) -> str:
    quoted = json.dumps(worker, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")  # is TOML's too
    slug = re.sub(r"[^a-z0-9]+", "-", worker.lower()).strip("-") or "hook"
    return text.replace("{name}", quoted).replace("{slug}", slug)


def _write(file: Path, text: str) -> bool:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    if file.suffix == ".sh":
        file.chmod(0o755)
    return True


def _show(folder: Path, worker: str, written: list[str]) -> None:
    paint = painter(sys.stdout)
    for file in written:
        sys.stdout.write(f"  {paint('green', '✓')} {folder / file}\n")
    where = "" if folder == Path() else f" {argument(str(folder))}"
    sys.stdout.write(f"\n{paint('bold', 'Next')}\n")
    steps = {
        f"runwright dev{where}": "run it here: reloads on save, logs live",
        f"runwright deploy{where}": "put it on the server of your profile",
        f"runwright run {argument(worker)} -i name=Ada": "",
    }
    width = max(map(len, steps)) + 3
    for step, about in steps.items():
        padding = " " * (width - len(step)) if about else ""
        sys.stdout.write(f"  {paint('cyan', step)}{padding}{paint('dim', about)}\n")
