"""The schemas of jobs over time."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.http.ava.envelopes import Time
from runwright.http.ava.jobs.filters import LIST_RULES, JobFilterQuery
from runwright.http.fields import format_optional_time, format_time, to_out
from runwright.http.validation import Validator
from runwright.job_views.model import JobSeries, SeriesPart, SeriesRow
from runwright.job_views.store.series import MOST_WORKERS, SERIES_WINDOW

MOST_PARTS: Final = 200
_LONGEST: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)

Counts = Annotated[list[int], Meta(description="One number for each part.")]
Durations = Annotated[
    list[int | None], Meta(description="In milliseconds, one for each part; null where none ran.")
]


class SeriesQuery(JobFilterQuery, frozen=True, kw_only=True):
    """The filters of the list, and how the period is divided; by default the last 24 hours."""

    parts: Annotated[int, Meta(ge=1, le=MOST_PARTS, description="Into how many the period is divided.")] = 48
    by: (
        Annotated[
            Literal["worker"],
            Meta(
                description=f"A series for each worker, at most {MOST_WORKERS}, those with most jobs first."
            ),
        ]
        | UnsetType
    ) = UNSET


class SeriesPartOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by their present status, and how they went."""

    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    p50_run_ms: int | None
    p95_run_ms: int | None
    p99_run_ms: int | None
    p95_wait_ms: Annotated[
        int | None, Meta(description="From when a job was due until its first attempt began.")
    ]


class SeriesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by when they were created and their present status."""

    worker_id: Annotated[str | None, Meta(description="null: all workers together.")]
    total: int
    queued: Counts
    running: Counts
    completed: Counts
    failed: Counts
    cancelled: Counts
    p50_run_ms: Durations
    p95_run_ms: Durations
    p99_run_ms: Durations
    p95_wait_ms: Durations
    whole: Annotated[SeriesPartOut, Meta(description="The same for the whole period.")]


class JobSeriesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs over time."""

    from_: Annotated[Time, Meta(description="Where the first part begins.")] = field(name="from")
    to: Annotated[Time, Meta(description="Where the last part ends.")]
    step_ms: Annotated[int, Meta(description="How long a part is.")]
    cut_at: Annotated[
        Time | None,
        Meta(description=f"Only the newest {SERIES_WINDOW:,} jobs are counted, since this time; null: all."),
    ]
    series: list[SeriesOut]


READ_SERIES: Final = Validator(SeriesQuery, LIST_RULES)


def series_period(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the period of a query; InvalidError for one that is empty or too long."""
    end = now if until is None else until
    begin = end - _DAY if since is None else since
    if begin >= end:
        raise InvalidError({"filter[created_after]": ["Must be before filter[created_before]."]})
    if end - begin > _LONGEST:
        raise InvalidError({"filter[created_after]": ["The period may have 366 days."]})
    return begin, end


def series_out(found: JobSeries) -> JobSeriesOut:
    return JobSeriesOut(
        from_=format_time(found.since),
        to=format_time(found.until),
        step_ms=found.step_ms,
        cut_at=format_optional_time(found.cut_at),
        series=[_row_out(row) for row in found.rows],
    )


def _row_out(row: SeriesRow) -> SeriesOut:
    names = SeriesPart.__struct_fields__
    whole = row.whole
    return SeriesOut(
        worker_id=row.worker_id,
        total=whole.queued + whole.running + whole.completed + whole.failed + whole.cancelled,
        whole=to_out(SeriesPartOut, whole),
        **{name: [getattr(part, name) for part in row.parts] for name in names},
    )
