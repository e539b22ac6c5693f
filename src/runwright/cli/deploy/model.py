"""A plan: what has to change on the server so that it matches a project."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from runwright.cli.project.files import CodeFiles
from runwright.cli.project.model import ProjectWorker

if TYPE_CHECKING:
    from runwright.client.models.workers import WorkerInfo


class Act(StrEnum):
    """What happens to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NONE = "none"


class FieldChange(msgspec.Struct, frozen=True):
    """A field that differs."""

    name: str
    old: Any
    new: Any


class FileDifference(msgspec.Struct, frozen=True):
    """A file that differs from the version that serves."""

    path: str
    act: Act


class ResourceChange(msgspec.Struct, kw_only=True):
    """What happens to one resource that is no worker: a schedule, a webhook, an automation."""

    kind: str
    act: Act
    name: str
    """How people name it."""
    id: str = ""
    """Of the one on the server."""
    worker: str = ""
    """Of a schedule: its worker."""
    fields: list[FieldChange] = []
    body: Mapping[str, Any] = {}
    """What is sent."""
    about: str = ""
    """A few words for the plan."""


class WorkerChange(msgspec.Struct, kw_only=True):
    """What happens to one worker, its code and its settings."""

    worker: ProjectWorker
    found: "WorkerInfo | None"
    files: CodeFiles
    fields: list[FieldChange] = []
    settings: Mapping[str, Any] = {}
    """What a change of its settings sends; nothing where they are the same."""
    differences: list[FileDifference] = []
    has_code: bool = False
    """Whether a version serves already."""
    handler: str = ""
    """What a look at the entrypoint found: `handler(input, env)`."""

    @property
    def act(self) -> Act:
        if self.found is None:
            return Act.CREATE
        return Act.UPDATE if self.fields or self.differences else Act.NONE


class Plan(msgspec.Struct, kw_only=True):
    """All that has to change."""

    workers: list[WorkerChange]
    others: list[ResourceChange]
    deletions: list[ResourceChange]
    """With `--prune`."""
    unmanaged: list[ResourceChange]
    """What the server has and the project does not; deleted with `--prune` only."""
    warnings: list[str]

    @property
    def is_empty(self) -> bool:
        return not self.deletions and not any(self.changes)

    @property
    def changes(self) -> "Sequence[WorkerChange | ResourceChange]":
        """Return what is created or updated."""
        both: list[WorkerChange | ResourceChange] = [*self.workers, *self.others]
        return [one for one in both if one.act is not Act.NONE]


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldChange]:
    """Return the fields of `new` that differ from `old`."""
    return [FieldChange(name, old.get(name), value) for name, value in new.items() if old.get(name) != value]
