"""The schemas of bulk operations."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.bulk.model import BulkAction, BulkOperation, BulkStatus, RetryVersion
from runwright.core.job_state import TERMINAL, JobStatus
from runwright.core.struct_fields import set_fields
from runwright.http.ava.envelopes import PageQuery, Time
from runwright.http.ava.jobs.filters import FILTER_RULES, JobFilterIn, job_filter
from runwright.http.fields import format_optional_time, format_time, plausible_id, to_out
from runwright.http.request import Request
from runwright.http.validation import Problem, Problems, Validator
from runwright.job_views.model import JobFilter

_MOST_IDS: Final = 1_000
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


class BulkIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The action, and the jobs to apply it to: a filter or ids."""

    action: Annotated[
        BulkAction,
        Meta(description="`cancel`: queued and running jobs. `retry`: ended ones, by default failed."),
    ]
    filter: JobFilterIn | UnsetType = UNSET
    ids: Annotated[list[_Id], Meta(min_length=1, max_length=_MOST_IDS)] | UnsetType = UNSET
    version: (
        Annotated[
            RetryVersion,
            Meta(
                description="The version of the worker that a retry runs: the `latest` (default), or that of "
                "the `original` job."
            ),
        ]
        | UnsetType
    ) = UNSET
    dry_run: Annotated[bool, Meta(description="Only count the jobs, without changing them.")] = False


class BulkQuery(PageQuery, frozen=True, kw_only=True):
    """The page to return."""


class BulkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk operation."""

    id: Annotated[str | None, Meta(description="`blk_` and a lower-case ULID; null for a dry run.")]
    action: BulkAction
    version: Annotated[
        RetryVersion | None, Meta(description="The version that a retry runs; null for a cancel.")
    ]
    status: Annotated[
        BulkStatus | None, Meta(description="`running`, then completed or cancelled; null for a dry run.")
    ]
    matched: Annotated[int, Meta(description="Jobs that the filter selected.")]
    done: Annotated[int, Meta(description="Jobs that were cancelled, requested to cancel, or retried.")]
    failed: Annotated[
        int, Meta(description="Jobs whose worker accepts no more jobs, or whose version cannot run.")
    ]
    skipped: Annotated[int, Meta(description="Jobs that had changed before they were processed.")]
    error: Annotated[str | None, Meta(description="The latest error, or what the operation waits for.")]
    created_by: Annotated[str | None, Meta(description="The user or the key that started it.")]
    created_at: Time | None
    completed_at: Time | None


_POSSIBLE: Final = {
    BulkAction.CANCEL: frozenset({JobStatus.QUEUED, JobStatus.RUNNING}),
    BulkAction.RETRY: TERMINAL,
}


def _plausible_ids(ids: list[str]) -> list[Problem]:
    return [(str(n), message) for n, text in enumerate(ids) for _, message in plausible_id(text)][:100]


def _check_filter(which: JobFilterIn) -> list[Problem]:
    """Check the rules of the filter's fields, whose types are right."""
    return [
        (name, message)
        for name, rule in FILTER_RULES.items()
        if (value := getattr(which, name)) is not UNSET
        for _, message in rule(value)
    ]


CREATE_BULK: Final = Validator(BulkIn, {"filter": _check_filter, "ids": _plausible_ids})
LIST_BULK: Final = Validator(BulkQuery)


async def selection_of(body: BulkIn, request: Request) -> JobFilter:
    """Return the jobs that a body names; InvalidError where it names none, or states that cannot change."""
    problems = Problems()
    if (body.filter is UNSET) == (body.ids is UNSET):
        problems.add("filter", "Give either filter or ids.")
    which = JobFilterIn() if body.filter is UNSET else body.filter
    statuses = None if which.status is UNSET else frozenset(which.status)
    if statuses is not None and not statuses <= _POSSIBLE[body.action]:
        possible = ", ".join(sorted(_POSSIBLE[body.action]))
        problems.add("filter.status", f"Must be of: {possible}; {body.action} applies to no others.")
    if body.filter is not UNSET and not set_fields(which):
        problems.add("filter", "Must name at least one field.")
    if body.version is not UNSET and body.action is BulkAction.CANCEL:
        problems.add("version", "Applies to a retry only.")
    problems.raise_if_any()
    ids = None if body.ids is UNSET else frozenset(body.ids)
    return await job_filter(which, request, ids)


def bulk_out(operation: BulkOperation) -> BulkOut:
    return to_out(
        BulkOut,
        operation,
        version=_version(operation.action, operation.version),
        created_at=format_time(operation.created_at),
        completed_at=format_optional_time(operation.completed_at),
    )


def _version(action: BulkAction, version: RetryVersion) -> RetryVersion | None:
    return version if action is BulkAction.RETRY else None


def version_of(body: BulkIn) -> RetryVersion:
    return RetryVersion.LATEST if body.version is UNSET else body.version


def dry_run_out(body: BulkIn, matched: int) -> BulkOut:
    return BulkOut(
        id=None,
        action=body.action,
        version=_version(body.action, version_of(body)),
        status=None,
        matched=matched,
        done=0,
        failed=0,
        skipped=0,
        error=None,
        created_by=None,
        created_at=None,
        completed_at=None,
    )
