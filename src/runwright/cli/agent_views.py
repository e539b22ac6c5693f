"""`runwright agents list` and `get`: registered agents, and the workers that were made from a template."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from runwright.cli.exits import CommandError, ExitCode
from runwright.cli.output import Column, section
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import argument
from runwright.cli.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.agents import AgentInfo
    from runwright.client.models.workers import WorkerInfo

_MODEL: Final = "LLM_MODEL"
"""What the configuration of a worker from the template `llm` has."""

_SEARCHED: Final = 1_000


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of either kind."""

    name: str
    id: str
    answers_by: str
    """How it gets what it decides about: `polling`, `callback`, `worker NAME`, or `prompts to MODEL`."""
    events: list[str]
    """The events that it is handed; none of a worker that automations name."""
    active: bool


@reads
def list_(remote: Remote) -> None:
    """List the agents: those that are registered for events, and workers made from a template.

    Examples:
    $ runwright agents list
    """
    columns: Sequence[Column[AgentEntry]] = (
        Column("NAME", lambda one: one.name, style=lambda _: "bold", flexible=True),
        Column("ANSWERS BY", lambda one: one.answers_by, flexible=True),
        Column("EVENTS", lambda one: " ".join(one.events), flexible=True),
        Column(
            "STATE",
            lambda one: "active" if one.active else "off",
            style=lambda one: "" if one.active else "yellow",
        ),
        Column("ID", lambda one: one.id, style=lambda _: "dim", wide=True),
    )
    remote.output.rows(
        _entries(remote), columns, empty="There are no agents yet. Make one: runwright agents create --help"
    )


@reads
def get(
    remote: Remote, *, agent: Annotated[str, typer.Argument(metavar="AGENT", help="A name, or an id.")]
) -> None:
    """Show an agent, and how many executions it has in each state.

    Examples:
    $ runwright agents get triage
    """
    registered = _find_registered(remote, agent)
    if registered is not None:
        remote.output.thing(registered, lambda: _registered(registered))
        return
    worker = next((one for one in _agent_workers(remote) if agent in {one.name, one.id}), None)
    if worker is None:
        raise CommandError(
            f"There is no agent {agent!r}.", ExitCode.NOT_FOUND, hint="All of them: runwright agents list"
        )
    remote.output.thing(worker, lambda: _worker(worker))


def _find_registered(remote: Remote, agent: str) -> "AgentInfo | None":
    """Return a registered agent with the number of its executions."""
    for one in islice(remote.client.agents.list(), _SEARCHED):
        if agent in {one.name, one.uid}:
            return remote.client.agents.get(one.uid)
    return None


def _entries(remote: Remote) -> Iterator[AgentEntry]:
    for one in islice(remote.client.agents.list(), _SEARCHED):
        yield AgentEntry(
            name=one.name,
            id=one.uid,
            answers_by=_way(one),
            events=one.events,
            active=one.is_active,
        )
    for worker in _agent_workers(remote):
        yield AgentEntry(
            name=worker.name,
            id=worker.id,
            answers_by=f"prompts to {worker.config[_MODEL]}",
            events=[],
            active=worker.status == "active",
        )


def _agent_workers(remote: Remote) -> "Iterator[WorkerInfo]":
    for worker in islice(remote.client.workers.list(payloads=False), _SEARCHED):
        if _MODEL in worker.config and worker.status != "deprecated":
            yield worker


def _way(one: "AgentInfo") -> str:
    if one.worker is not None:
        return f"worker {one.worker}"
    return "callback" if one.callback_url is not None else "polling"


def _registered(one: "AgentInfo") -> str:
    lease = one.poll_lease_seconds
    values = {
        "id": one.uid,
        "about": one.description,
        "state": "active" if one.is_active else f"off: {one.inactive_reason or 'deactivated'}",
        "answers by": _way(one),
        "callback": one.callback_url or "",
        "events": ", ".join(one.events),
        "project": one.project or "",
        "task types": ", ".join(one.task_types),
        "poll lease": f"{lease} s" if lease else "",
        "executions": ", ".join(f"{count:,} {name}" for name, count in one.execution_stats.items() if count),
        "changed": f"{ago(one.updated_at, datetime.now(UTC))} ago",
    }
    return section(one.name, values)


def _worker(one: "WorkerInfo") -> str:
    config: Mapping[str, Any] = one.config
    values = {
        "id": one.id,
        "state": one.status,
        "answers by": f"prompts to {config[_MODEL]}",
        "at": str(config.get("LLM_BASE_URL", "")),
        "secrets": ", ".join(one.secrets),
        "version": f"v{one.version}",
        "changed": f"{ago(one.updated_at, datetime.now(UTC))} ago",
        "more": f"runwright workers get {argument(one.name)}",
    }
    return section(one.name, values)
