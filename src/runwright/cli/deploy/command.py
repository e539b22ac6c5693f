"""The command `runwright deploy`."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from runwright.cli.deploy.applying import Applying
from runwright.cli.deploy.model import Plan
from runwright.cli.deploy.planning import make_plan
from runwright.cli.deploy.rendering import plan_json, render_plan, summary
from runwright.cli.deploy.server_state import read_state
from runwright.cli.exits import UsageError
from runwright.cli.project.reader import read_project
from runwright.cli.remote import DryRun, Remote, writes
from runwright.cli.terminal import note
from runwright.cli.times import require_duration

_BUILD_TIMEOUT: Final = "10m"


@writes
def deploy(
    remote: Remote,
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder with the runwright.toml.")
    ] = Path(),
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="What the new versions are for.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--env", "-e", metavar="NAME", help="Use what [env.NAME] changes.")
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Also delete what the server has and the file does not; asks first."),
    ] = False,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Wait at most so long for a build. Exit code 6.")
    ] = _BUILD_TIMEOUT,
    dry_run: DryRun = False,
) -> None:
    """Make the server match a folder's runwright.toml: plan and apply.

    The plan is shown, and only deletions are asked about.

    A folder without one that has a main.py, index.js, main.ts, main.sh or main.wasm is one worker, named as
    the folder. Uploads leave out .git, .env, keys, installed packages and what .gitignore names.

    Examples:
    $ runwright deploy --dry-run
    $ runwright deploy -m "Handle empty rows"
    $ runwright deploy --env prod --prune -y
    """
    build_timeout = require_duration("--timeout", timeout)
    remote.within(folder, environment)
    plan = plan_of(remote, folder, environment, prune=prune)
    for warning in plan.warnings:
        note(f"! {warning}", "yellow")
    if dry_run or plan.is_empty:
        remote.output.thing(plan_json(plan), lambda: render_plan(plan, files=dry_run))
        return
    _apply(remote, plan, message, build_timeout.total_seconds())


def plan_of(remote: Remote, folder: Path, environment: str | None, *, prune: bool) -> Plan:
    """Return what has to change so that the server matches a folder."""
    project = read_project(folder, environment)
    if prune and project.file is None:
        raise UsageError("--prune needs a runwright.toml.")
    return make_plan(remote.client, project, read_state(remote.client, project), prune=prune)


def _apply(remote: Remote, plan: Plan, message: str | None, seconds: float) -> None:
    remote.announce()
    if remote.output.is_table:
        sys.stdout.write(render_plan(plan) + "\n\n")
    if plan.deletions:
        remote.confirm(f"{summary(plan)} Continue?")
    applying = Applying(remote, plan, message=message, timeout=seconds)
    applying.run()
    if remote.output.format.is_json:
        remote.output.thing({"deployed": applying.deployed}, str)
