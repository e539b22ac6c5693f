"""Completion: `runwright completion SHELL` prints the script; names are completed from the server.

An answer has to come while a person types: the server has a fifth of a second, a failure completes nothing.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runwright.cli.target import TargetOptions, find_target
from runwright.client.environment import COMPLETION_SECONDS

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.targets import ServerTarget

_SECONDS: Final = 0.2
_MOST: Final = 50


class Shell(StrEnum):
    """The shells with completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion script of a shell.

    Examples:
    $ runwright completion bash > runwright.bash
    # bash: source it from ~/.bashrc
    # zsh: save it as _runwright in a folder of $fpath
    # fish: save it as ~/.config/fish/completions/runwright.fish
    """
    shared = importlib.import_module("typer._completion_shared")
    script = shared.get_completion_script(
        prog_name="runwright", complete_var="_RUNWRIGHT_COMPLETE", shell=shell.value
    )
    sys.stdout.write(f"{script}\n")


def complete_workers(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the workers whose names begin so, with their runtimes."""
    return _complete(ctx, lambda client: _workers(client, incomplete))


def complete_jobs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the newest jobs whose ids begin so, with what they are."""
    return _complete(ctx, lambda client: _jobs(client, incomplete))


def complete_secrets(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the secrets whose names begin so."""
    return _complete(ctx, lambda client: _secrets(client, incomplete))


def complete_profiles(incomplete: str) -> list[str]:
    """Return the profiles whose names begin so; none of a file that cannot be read."""
    client = importlib.import_module("runwright.client")
    try:
        return [name for name in client.Profiles().all() if name.startswith(incomplete)]
    except client.ClientError:
        return []


def _workers(client: "Runwright", incomplete: str) -> Iterator[tuple[str, str]]:
    for worker in islice(client.workers.list(q=incomplete, payloads=False, per_page=_MOST), _MOST):
        if worker.name.startswith(incomplete):
            yield worker.name, worker.runtime


def _jobs(client: "Runwright", incomplete: str) -> Iterator[tuple[str, str]]:
    for job in islice(client.jobs.list(payloads=False, per_page=_MOST), _MOST):
        if job.id.startswith(incomplete):
            yield job.id, f"{job.worker_name or job.worker_id}, {job.status}"


def _secrets(client: "Runwright", incomplete: str) -> Iterator[tuple[str, str]]:
    for secret in islice(client.secrets.list(q=incomplete), _MOST):
        if secret.name.startswith(incomplete):
            yield secret.name, ""


def _seconds() -> float:
    """Return how long the server may take; RUNWRIGHT_COMPLETION_SECONDS changes it for slow lines."""
    try:
        return float(os.environ[COMPLETION_SECONDS])
    except (KeyError, ValueError):
        return _SECONDS


def _client(target: "ServerTarget") -> "Runwright":
    """Return a client that loads as little as possible: without a proxy on the way, not even httpx."""
    if importlib.import_module("runwright.client.urls").may_be_proxied(target.url):
        kind, transport = importlib.import_module("runwright.client.blocking").Runwright, None
    else:
        kind = importlib.import_module("runwright.client.base").Client
        quick = importlib.import_module("runwright.client.quick_transport")
        transport = quick.QuickTransport(target.url, _seconds())
    client: Runwright = kind.for_target(target, timeout=_seconds(), retries=0, transport=transport)
    return client


def _complete(
    ctx: typer.Context, find: Callable[["Runwright"], Iterator[tuple[str, str]]]
) -> list[tuple[str, str]]:
    given: dict[str, Any] = ctx.params
    options = TargetOptions(profile=given.get("profile"), url=given.get("url"), tenant=given.get("tenant"))
    try:
        target = find_target(options)
        return list(find(_client(target)))
    except Exception:  # noqa: BLE001  whatever it is, a person who types is not disturbed by it
        return []
