"""The command `runwright dev`."""

from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from runwright.cli.dev.local_server import local_server
from runwright.cli.dev.session import DevSession
from runwright.cli.dev.signals import ended_by_signals
from runwright.cli.dev.watching import saves
from runwright.cli.exits import UsageError
from runwright.cli.output import Output
from runwright.cli.project.reader import read_project
from runwright.cli.remote import Remote
from runwright.cli.run import read_input
from runwright.cli.target import TargetOptions, find_target, is_this_machine, label_of, local_address
from runwright.cli.terminal import note
from runwright.client.errors import SetupError


def dev(
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; by default this one.")
    ] = Path(),
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE|@FILE|-", help="The input of each run; repeatable."),
    ] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", "-w", metavar="NAME", help="Run this one on every save.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Run what was deployed, or only deploy it.")
    ] = True,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A server on this machine; default: RUNWRIGHT_URL, the profile."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="The tenant.")] = None,
) -> None:
    """Run a folder locally: deploy and run on save, logs live.

    A server that runs on this machine is used; without one, one is started, and stopped with Ctrl-C.

    Examples:
    $ runwright dev
    $ runwright dev report -i channel=#ops
    """
    values = read_input(input or ())
    read_project(folder)  # what is wrong is reported before a server is started
    address = url or _address(folder)
    if not is_this_machine(address):
        raise UsageError(f"dev works on a server of this machine, not on {address}.", hint="runwright deploy")
    options = TargetOptions(url=address, tenant=tenant)
    with ended_by_signals() as ending, local_server(find_target(options)):
        remote = Remote(options, Output())  # the first start of a server makes its key
        note(f"→ {label_of(remote.target)}  {remote.target.url}   Ctrl-C stops", "dim")
        session = DevSession(remote, folder, values, worker=worker, runs=run)
        _watch(session, folder, ending)


def _address(folder: Path) -> str:
    """Return the address that other commands use in the folder if it is on this machine, or the local one."""
    with suppress(SetupError, UsageError):  # a profile that this person does not have
        found = find_target(TargetOptions(folder=folder)).url
        if is_this_machine(found):
            return found
    return local_address()


def _watch(session: DevSession, folder: Path, ending: Event) -> None:
    """Deploy now and after every save, until Ctrl-C. What is saved meanwhile is deployed next."""
    try:
        with suppress(KeyboardInterrupt):
            for changed in saves(folder, ending):
                session.deploy(changed)
        with suppress(OSError):  # the terminal is gone
            note("\nstopped", "dim")
    finally:
        session.close()
