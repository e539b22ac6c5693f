"""The filters of jobs: in the query of a list, and in the body of a bulk operation."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.http.ava.envelopes import (
    Cursor,
    Moment,
    PageNumber,
    PerPage,
    filter_of,
    in_utc,
    optional,
)
from runwright.http.ava.workers.rules import NAME_LIMIT
from runwright.http.fields import plausible_id, plausible_moment, read_moment, storable_text
from runwright.http.request import Request
from runwright.http.validation import Problem, Rule, Validator
from runwright.job_views.model import JobFilter, JobSort

_WorkerId = Annotated[str, Meta(min_length=1, max_length=64, description="Only jobs of this worker.")]
_Worker = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_LIMIT,
        description="Only jobs of the worker with this id, or with this name where it is the only one.",
    ),
]
_ScheduleId = Annotated[str, Meta(min_length=1, max_length=64, description="Only jobs of this schedule.")]
_ParentId = Annotated[
    str, Meta(min_length=1, max_length=64, description="Only jobs that this job has started.")
]
_Cause = Annotated[Trigger, Meta(description="Only jobs with this cause.")]
_Code = Annotated[ErrorCode, Meta(description="Only jobs that ended with this error.")]
_Text = Annotated[
    str,
    Meta(
        min_length=1, max_length=200, description="Only jobs with this text in their error, in either case."
    ),
]
_Duration = Annotated[
    int, Meta(ge=0, le=2**31 - 1, description="Only jobs that ran for at least this many milliseconds.")
]
_Version = Annotated[
    int, Meta(ge=1, le=2**31 - 1, description="Only jobs that ran this version of their worker, or are to.")
]
_Retried = Annotated[bool, Meta(description="Only jobs that were retried, or that were not.")]
_After = Annotated[Moment, Meta(description="Created at this time or later; `-24h`: in the last 24 hours.")]
_Before = Annotated[Moment, Meta(description="Created at this time or earlier.")]
_MOST_NAMED: Final = 5
_STATUS_LIST: Final = (
    "^(queued|running|completed|failed|cancelled)(,(queued|running|completed|failed|cancelled))*$"
)


class JobFilterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters, as parameters."""

    worker_id: _WorkerId | UnsetType = field(default=UNSET, name="filter[worker_id]")
    worker: _Worker | UnsetType = field(default=UNSET, name="filter[worker]")
    status: (
        Annotated[
            str,
            Meta(
                description="Only jobs in this state, or in one of several (`failed,cancelled`).",
                extra_json_schema={"pattern": _STATUS_LIST},
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[status]")
    trigger: _Cause | UnsetType = field(default=UNSET, name="filter[trigger]")
    schedule_id: _ScheduleId | UnsetType = field(default=UNSET, name="filter[schedule_id]")
    parent_job_id: _ParentId | UnsetType = field(default=UNSET, name="filter[parent_job_id]")
    error_code: _Code | UnsetType = field(default=UNSET, name="filter[error_code]")
    min_duration_ms: _Duration | UnsetType = field(default=UNSET, name="filter[min_duration_ms]")
    worker_version: _Version | UnsetType = field(default=UNSET, name="filter[worker_version]")
    retried: _Retried | UnsetType = field(default=UNSET, name="filter[retried]")
    created_after: _After | UnsetType = field(default=UNSET, name="filter[created_after]")
    created_before: _Before | UnsetType = field(default=UNSET, name="filter[created_before]")
    q: _Text | UnsetType = UNSET


class JobQuery(JobFilterQuery, frozen=True, kw_only=True):
    """The filters and the order of the list."""

    page: PageNumber | UnsetType = UNSET
    per_page: PerPage = 20
    cursor: Cursor | UnsetType = UNSET
    payloads: Annotated[
        bool,
        Meta(
            description="`false` leaves out what may be large: `input` is `{}` and `output` null in each job."
        ),
    ] = True
    sort: Annotated[
        JobSort,
        Meta(
            description="By when jobs were created or started or by how long they ran; with `-` descending. "
            "By start and duration, only the newest 10,000 that the filters leave are sorted (`cut`)."
        ),
    ] = JobSort.NEWEST


class JobFilterIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A filter: it selects the jobs for which everything given is true."""

    openapi_name: ClassVar[str] = "JobFilter"

    worker_id: _WorkerId | UnsetType = UNSET
    worker: _Worker | UnsetType = UNSET
    status: (
        Annotated[list[JobStatus], Meta(min_length=1, max_length=5, description="Any of these.")] | UnsetType
    ) = UNSET
    trigger: _Cause | UnsetType = UNSET
    schedule_id: _ScheduleId | UnsetType = UNSET
    parent_job_id: _ParentId | UnsetType = UNSET
    error_code: _Code | UnsetType = UNSET
    min_duration_ms: _Duration | UnsetType = UNSET
    worker_version: _Version | UnsetType = UNSET
    retried: _Retried | UnsetType = UNSET
    created_after: _After | UnsetType = UNSET
    created_before: _Before | UnsetType = UNSET
    q: _Text | UnsetType = UNSET


def _known_statuses(text: str) -> Iterable[Problem]:
    if not frozenset(text.split(",")) <= frozenset(JobStatus):
        yield "", f"Must be one of: {', '.join(JobStatus)}; or several, with commas between."


FILTER_RULES: Final[dict[str, Rule]] = {
    "worker_id": plausible_id,
    "worker": storable_text,
    "schedule_id": plausible_id,
    "parent_job_id": plausible_id,
    "created_after": plausible_moment,
    "created_before": plausible_moment,
    "q": storable_text,
}


async def job_filter(
    which: JobFilterQuery | JobFilterIn, request: Request, ids: frozenset[str] | None = None
) -> JobFilter:
    """Return the filter that a valid query or body describes; InvalidError where the worker is ambiguous."""
    statuses = which.status.split(",") if isinstance(which.status, str) else optional(which.status)
    after, before, now = (
        optional(which.created_after),
        optional(which.created_before),
        request.services.clock(),
    )
    return filter_of(
        JobFilter,
        which,
        ids=ids,
        worker_id=await _worker_id(which, request),
        statuses=None if statuses is None else frozenset(map(JobStatus, statuses)),
        created_after=None if after is None else in_utc(read_moment(after, now)),
        created_before=None if before is None else in_utc(read_moment(before, now)),
        error_contains=optional(which.q),
    )


async def _worker_id(which: JobFilterQuery | JobFilterIn, request: Request) -> str | None:
    if which.worker is UNSET:
        return optional(which.worker_id)
    name = "filter[worker]" if isinstance(which, JobFilterQuery) else "filter.worker"
    if which.worker_id is not UNSET:
        raise InvalidError({name: ["Cannot be combined with worker_id."]})
    found = await request.services.workers.named(request.tenant_id, which.worker, _MOST_NAMED + 1)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidError({name: ["No worker has this name or id."]})
    more = ", …" if len(found) > _MOST_NAMED else ""
    ids = ", ".join(found[:_MOST_NAMED])
    raise InvalidError({name: [f"Several workers have this name; use an id: {ids}{more}."]})


LIST_RULES: Final[dict[str, Rule]] = FILTER_RULES | {"status": _known_statuses}
LIST_JOBS: Final = Validator(JobQuery, LIST_RULES)
