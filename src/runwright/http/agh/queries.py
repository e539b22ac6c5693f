"""Reading queries: which rows of a list, from where on, and how long to wait."""

import base64
import binascii
import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.errors import DefinitionError
from runwright.automations.model import AutomationFilter, RunFilter, RunStatus
from runwright.automations.rules import quoted
from runwright.automations.schedule_parsing import parse_time
from runwright.http.agh.auth import AghRequest

T = TypeVar("T")

MOST_ROWS: Final = 1_000
DEFAULT_WAIT_SECONDS: Final = 30
LONGEST_WAIT_SECONDS: Final = 60

_SOURCES: Final = ("config", "package", "dynamic")
_SCOPES: Final = ("global", "workspace")
_STATUSES: Final = {
    "scheduled": RunStatus.SCHEDULED,
    "running": RunStatus.RUNNING,
    "delegated": RunStatus.DELEGATED,
    "completed": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "canceled": RunStatus.CANCELLED,
}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_MOST_PARAMETERS: Final = 50

Limit = Annotated[
    int,
    Meta(ge=0, description="Most rows; 0 or none: all, up to 1,000."),
]
Cursor = Annotated[str, Meta(description="`next_cursor` of the page before.")]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: Limit | UnsetType = UNSET
    cursor: Cursor | UnsetType = UNSET


class JobQuery(PageQuery, frozen=True, kw_only=True):
    """Which jobs to list."""

    scope: str | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    source: str | UnsetType = UNSET


class TriggerQuery(JobQuery, frozen=True, kw_only=True):
    """Which triggers to list."""

    event: str | UnsetType = UNSET


class RunQuery(PageQuery, frozen=True, kw_only=True):
    """Which runs of a job or a trigger to list."""

    status: str | UnsetType = UNSET
    since: Annotated[str, Meta(description="Started then or later; RFC 3339.")] | UnsetType = UNSET
    until: Annotated[str, Meta(description="Started then or earlier; RFC 3339.")] | UnsetType = UNSET


class AnyRunQuery(RunQuery, frozen=True, kw_only=True):
    """Which runs to list."""

    job_id: str | UnsetType = UNSET
    trigger_id: str | UnsetType = UNSET


class TaskQuery(PageQuery, frozen=True, kw_only=True):
    """Which tasks to list."""

    status: str | UnsetType = UNSET


class WaitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait."""

    wait: Annotated[float, Meta(ge=0, le=60, description="Seconds; 30 if none are given.")] | UnsetType = (
        UNSET
    )


def read_query(request: AghRequest) -> dict[str, str]:
    """Return the parameters without white space around them; the first of a name counts, blank is none."""
    text = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise DefinitionError("the query has too many parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if "\0" in value:
            raise DefinitionError(f"{name[:100]} must not hold the character NUL")
        found.setdefault(name, value.strip())
    return {name: value for name, value in found.items() if value}


def read_limit(query: dict[str, str]) -> int:
    text = query.get("limit", "0")
    if not _INTEGER.fullmatch(text):
        raise DefinitionError(f"invalid integer {quoted(text)}: invalid syntax")
    if int(text) < 0:
        raise DefinitionError(f"limit must not be negative: {text}")
    return min(int(text), MOST_ROWS) or MOST_ROWS


def read_automation_filter(query: dict[str, str]) -> AutomationFilter:
    scope, source, workspace_id = query.get("scope"), query.get("source"), query.get("workspace_id")
    if scope is not None and scope not in _SCOPES:
        raise DefinitionError(f'scope must be one of "global" or "workspace": {quoted(scope)}')
    if source is not None and source not in _SOURCES:
        raise DefinitionError(f'source must be one of "config", "package", or "dynamic": {quoted(source)}')
    if scope == "global" and workspace_id is not None:
        raise DefinitionError('workspace_id must be empty when scope is "global"')
    return AutomationFilter(scope=scope, workspace_id=workspace_id, source=source, event=query.get("event"))


def read_run_filter(query: dict[str, str], automation_ids: Sequence[str]) -> RunFilter:
    status = query.get("status")
    if status is not None and status not in _STATUSES:
        names = ", ".join(quoted(name) for name in list(_STATUSES)[:-1])
        raise DefinitionError(f'status must be one of {names}, or "canceled": {quoted(status)}')
    since, until = (_read_time(query, name) for name in ("since", "until"))
    if since is not None and until is not None and until < since:
        raise DefinitionError("until must not be before since")
    return RunFilter(
        automation_ids=tuple(automation_ids),
        status=None if status is None else _STATUSES[status],
        since=since,
        until=until,
    )


def _read_time(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise DefinitionError(f"invalid time {quoted(text)} for {name}: it must be RFC 3339") from None


def read_wait(query: dict[str, str]) -> float:
    text = query.get("wait", str(DEFAULT_WAIT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise DefinitionError(f"wait must be between 0 and {LONGEST_WAIT_SECONDS} seconds: {quoted(text)}")
    return seconds


def page_of(rows: list[T], limit: int, key: Callable[[T], tuple[object, str]]) -> tuple[list[T], str]:
    """Return the rows of a page and its `next_cursor`; given is one row more than the limit, if there is."""
    if len(rows) <= limit:
        return rows, ""
    shown = rows[:limit]
    return shown, base64.urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode().rstrip("=")


def read_name_cursor(query: dict[str, str]) -> tuple[str, str] | None:
    return _read_cursor(query, tuple[str, str])


def read_time_cursor(query: dict[str, str]) -> tuple[datetime, str] | None:
    return _read_cursor(query, tuple[datetime, str])


def _read_cursor(query: dict[str, str], kind: type[T]) -> T | None:
    text = query.get("cursor")
    if text is None:
        return None
    found: T | None = None
    with contextlib.suppress(binascii.Error, ValueError, msgspec.DecodeError):
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = None if b"\\u0000" in raw else msgspec.json.decode(raw, type=kind)
    if found is None:
        raise DefinitionError("cursor is not one that a list of this kind gave")
    return found
