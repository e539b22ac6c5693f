"""`runwright system`: the state of the server, for its operator."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.cli.output import section
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import painter
from runwright.cli.times import bytes_text, duration_text

if TYPE_CHECKING:
    from runwright.client.models.system import SystemInfo


class Part(StrEnum):
    """A part of the report."""

    DISK = "disk"


@reads
def system(
    remote: Remote,
    *,
    part: Annotated[
        Part | None, typer.Argument(metavar="[disk]", help="disk: only what takes how much room.")
    ] = None,
) -> None:
    """Show executors, isolation, queue, database and disks.

    Only the operator may see it, with the platform key.

    Examples:
    $ runwright system
    $ runwright system disk
    """
    found = remote.client.system()
    remote.output.thing(found, lambda: system_text(found) if part is None else disk_text(found))


def disk_text(one: "SystemInfo") -> str:
    """Return what takes how much room: the database by its parts, and the file systems."""
    return "\n".join(
        [
            section(
                f"database   {bytes_text(one.database['size_bytes'])}",
                {each["name"]: _storage(each) for each in one.storage},
            ),
            section("disks", {each["folder"]: _disk(each) for each in one.disks}),
        ]
    )


def _storage(each: dict[str, Any]) -> str:
    unused = each["unused_bytes"]
    return bytes_text(each["size_bytes"]) + (f"   {bytes_text(unused)} of it unused" if unused else "")


def system_text(one: "SystemInfo") -> str:
    """Return the state of a server, section by section."""
    queue, database, isolation = one.queue, one.database, one.isolation
    parts = [
        section(f"runwright {one.version}", {"roles": ", ".join(one.roles)}),
        section(
            "isolation", {"level": isolation["level"], "floor": isolation["floor"], **_missing(isolation)}
        ),
        section("queue", _queue(queue)),
        section("executors", {each["id"][-8:]: _executor(each) for each in one.executors}),
        section("runtimes", {each["name"]: _runtime(each) for each in one.runtimes}),
        section("database", _database(database)),
        section("disks", {each["folder"]: _disk(each) for each in one.disks}),
    ]
    return "\n".join(parts)


def _missing(isolation: dict[str, Any]) -> dict[str, str]:
    return {"missing": "; ".join(each["what"] for each in isolation["missing"])}


def _queue(queue: dict[str, Any]) -> dict[str, str]:
    oldest = duration_text(queue["oldest_due_seconds"]) if queue["oldest_due_at"] else ""
    return {name: f"{queue[name]:,}" for name in ("ready", "waiting", "running")} | {"oldest": oldest}


def _executor(each: dict[str, Any]) -> str:
    paint = painter(sys.stdout)
    state = "draining" if each["draining"] else "live" if each["live"] else "lost"
    look = "green" if state == "live" else "yellow"
    return (
        f"{each['host']}  {each['running']}/{each['slots']} slots  {paint(look, state)}  {each['isolation']}"
    )


def _runtime(each: dict[str, Any]) -> str:
    return str(each["version"] or "ready") if each["ready"] else f"not ready: {each['reason']}"


def _database(database: dict[str, Any]) -> dict[str, str]:
    kind = "embedded" if database["embedded"] else "yours"
    return {
        "version": f"PostgreSQL {database['version']} ({kind})",
        "schema": f"{database['schema_version']}",
        "size": bytes_text(database["size_bytes"]),
    }


def _disk(each: dict[str, Any]) -> str:
    return f"{bytes_text(each['free_bytes'])} free of {bytes_text(each['total_bytes'])}  {each['path']}"
