"""How a plan looks: what is added, changed and deleted, as Terraform shows it."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from runwright.cli.deploy.model import Act, FieldChange, FileDifference, Plan, ResourceChange, WorkerChange
from runwright.cli.project.files import CodeFiles
from runwright.cli.terminal import one_line, painter, width_of
from runwright.cli.text_width import cut
from runwright.cli.times import bytes_text

_SIGNS: Final = {Act.CREATE: "+", Act.UPDATE: "~", Act.DELETE: "-", Act.NONE: " "}
_STYLES: Final = {Act.CREATE: "green", Act.UPDATE: "yellow", Act.DELETE: "red", Act.NONE: "dim"}
_MOST_FILES: Final = 8
_MOST_UNMANAGED: Final = 5


def render_plan(plan: Plan, *, files: bool = False) -> str:
    """Return a plan as text; `files` lists every file that is uploaded or left out."""
    blocks = [
        "\n".join(_worker_lines(change, files=files))
        for change in plan.workers
        if _is_shown(change, files=files)
    ]
    others = [line for change in (*plan.others, *plan.deletions) for line in _change_lines(change)]
    blocks += ["\n".join(others)] if others else []
    most = len(plan.unmanaged) if files else _MOST_UNMANAGED
    blocks += ["\n".join(_unmanaged(plan.unmanaged, most))] if plan.unmanaged else []
    blocks.append(summary(plan))
    return "\n\n".join(block for block in blocks if block)


def _is_shown(change: WorkerChange, *, files: bool) -> bool:
    return files or change.act is not Act.NONE


def summary(plan: Plan) -> str:
    """Return how many resources are added, changed and deleted."""
    if plan.is_empty:
        return "Nothing to change: the server matches."
    acts = [one.act for one in plan.changes]
    counts = {
        "to add": acts.count(Act.CREATE),
        "to change": acts.count(Act.UPDATE),
        "to delete": len(plan.deletions),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) + "."


def _worker_lines(change: WorkerChange, *, files: bool) -> Iterator[str]:
    worker = change.worker
    about = ", ".join(part for part in (worker.runtime, files_text(change.files)) if part)
    yield _head(change.act, "worker", worker.name, about)
    if change.found is not None:
        yield from map(_field_line, change.fields)
        if change.differences:
            yield f"      {_dim('code')}  {_files_line(change.differences)}"
    if files:
        yield from (
            f"      {_dim('file')}  {one_line(file.path)}  {_dim(bytes_text(file.size))}"
            for file in change.files.taken
        )
        yield from (
            f"      {_dim('left out')}  {one_line(one.path)}  {_dim(one.reason)}"
            for one in change.files.left_out
        )


def files_text(files: CodeFiles) -> str:
    """Return how many files there are, and how large they are: `3 files, 340 B`."""
    count = len(files.taken)
    return f"{count} {'file' if count == 1 else 'files'}, {bytes_text(files.size)}"


def _change_lines(change: ResourceChange) -> Iterator[str]:
    if change.act is Act.NONE:
        return
    name = f"{change.worker}: {change.name}" if change.worker else change.name
    yield _head(change.act, change.kind, name, change.about)
    yield from map(_field_line, change.fields)


def _head(act: Act, kind: str, name: str, about: str) -> str:
    paint = painter(sys.stdout)
    sign = paint(f"bold {_STYLES[act]}", _SIGNS[act])
    return f"  {sign} {kind} {paint('bold', one_line(name))}  {_dim(one_line(about))}".rstrip()


def _field_line(field: FieldChange) -> str:
    paint = painter(sys.stdout)
    width = max(20, ((width_of(sys.stdout) or 200) - 30) // 2)
    old, new = (cut(_value(value), width) for value in (field.old, field.new))
    return f"      {_dim(field.name)}  {paint('red', old)} → {paint('green', new)}"


def _value(value: Any) -> str:  # noqa: ANN401  JSON
    return one_line(value) if isinstance(value, str) else one_line(msgspec.json.encode(value).decode())


def _files_line(differences: Sequence[FileDifference]) -> str:
    paint = painter(sys.stdout)
    shown = [
        paint(_STYLES[one.act], f"{_SIGNS[one.act]} {one_line(one.path)}")
        for one in differences[:_MOST_FILES]
    ]
    more = [f"and {len(differences) - _MOST_FILES} more"] if len(differences) > _MOST_FILES else []
    return "  ".join([*shown, *more])


def _unmanaged(changes: Sequence[ResourceChange], most: int) -> Iterator[str]:
    yield _dim("Not in the file, and left alone; --prune deletes:")
    for change in changes[:most]:
        name = f"{change.worker}: {change.name}" if change.worker else change.name
        yield _dim(f"    {change.kind} {one_line(name)}  {one_line(change.about)}")
    if len(changes) > most:
        yield _dim(f"    and {len(changes) - most} more, which --dry-run lists")


def _dim(text: str) -> str:
    return painter(sys.stdout)("dim", text)


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        "workers": [_worker_json(change) for change in plan.workers],
        "others": [_change_json(change) for change in (*plan.others, *plan.deletions)],
        "unmanaged": [_change_json(change) for change in plan.unmanaged],
        "warnings": plan.warnings,
    }


def _worker_json(change: WorkerChange) -> dict[str, Any]:
    return {
        "name": change.worker.name,
        "action": change.act,
        "files": [{"path": file.path, "size_bytes": file.size} for file in change.files.taken],
        "left_out": msgspec.to_builtins(change.files.left_out),
        "code": msgspec.to_builtins(change.differences),
        "fields": msgspec.to_builtins(change.fields),
    }


def _change_json(change: ResourceChange) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "action": change.act,
        "name": change.name,
        "worker": change.worker or None,
        "id": change.id or None,
        "fields": msgspec.to_builtins(change.fields),
    }
