"""Which jobs a filter selects, as SQL.

The state of a job decides in which table it is, and there an index gives the newest ones first. So a filter
becomes one branch for each table and state, and what an index decides is in the WHERE of the branch. All else
(text in the error, the duration, the schedule) is searched: `found` is computed for the rows of a window,
whose size bounds what one statement reads.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from runwright.core.ids import floor_id
from runwright.core.job_state import LIVE, TERMINAL, JobStatus
from runwright.job_views.model import JobFilter, JobSort

SEARCH_WINDOW: Final = 10_000
"""How many of the jobs that the indexes leave are searched or sorted at once, the newest first."""

_FAILED: Final = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
_STATES_OF_ROWS: Final = {
    LIVE: (),
    frozenset({JobStatus.RUNNING}): ("s.state = 'running'",),
    frozenset({JobStatus.QUEUED}): ("s.state <> 'running'",),
}
_STARTED: Final = "(extract(epoch FROM s.started_at) * 1000000)::bigint"
_LAST: Final = {True: 2**62, False: -1}
"""The value of jobs that have none, by whether the order is ascending: they come last."""

_INDEXED_CAUSES: Final = ("s.trigger", "s.parent_job_id")


class Branch(msgspec.Struct, frozen=True):
    """Jobs in one table. `where` is what indexes decide, `found` what is computed for each row."""

    table: str
    where: Sequence[str]
    found: Sequence[str] = ()
    join: str = ""

    @property
    def id_column(self) -> str:
        return "s.id" if self.table == "jobs" else "s.job_id"

    @property
    def source(self) -> str:
        return f"{self.table} s {self.join}"

    def value(self, sort: JobSort) -> str:
        """Return the number that jobs are sorted by."""
        if sort.by_duration:
            column = "s.duration_ms::bigint" if self.table == "job_results" else "NULL::bigint"
        else:
            column = _STARTED if sort.by_start else "NULL::bigint"
        return f"coalesce({column}, {_LAST[sort.ascending]})"


class JobSelection(msgspec.Struct, frozen=True):
    """The branches and their parameters; `$1` is the tenant."""

    branches: Sequence[Branch]
    params: list[object]

    @property
    def searches(self) -> bool:
        """Whether indexes do not decide alone."""
        return any(branch.found for branch in self.branches)

    def window(self, limit: int, *, bound: str = "", sort: JobSort = JobSort.NEWEST) -> str:
        """Return a query of (id, found, value) for the `limit` newest jobs, or oldest, that indexes leave.

        `bound` is a condition on {id}.
        """
        order = "ASC" if sort is JobSort.OLDEST else "DESC"
        parts = []
        for branch in self.branches:
            conditions = " AND ".join(
                (*branch.where, *([bound.format(id=branch.id_column)] if bound else ()))
            )
            found = " AND ".join(branch.found) or "true"
            parts.append(
                f"(SELECT {branch.id_column} AS id, {found} AS found, {branch.value(sort)} AS value"
                f" FROM {branch.source} WHERE {conditions} ORDER BY {branch.id_column} {order} LIMIT {limit})"
            )
        if len(parts) == 1:
            return parts[0]
        return f"(SELECT * FROM ({' UNION ALL '.join(parts)}) AS parts ORDER BY id {order} LIMIT {limit})"

    def all_rows(self) -> str:
        """Return a query with a row for each job, however many there are to search."""
        return " UNION ALL ".join(
            f"SELECT 1 FROM {branch.source} WHERE {' AND '.join((*branch.where, *branch.found))}"
            for branch in self.branches
        )


def select_jobs(tenant_id: str, which: JobFilter, sort: JobSort = JobSort.NEWEST) -> JobSelection:
    """Return the jobs of a tenant that a filter selects."""
    params: list[object] = [tenant_id]

    def put(value: object) -> str:
        params.append(value)
        return f"${len(params)}"

    statuses = _statuses_of(which)
    if statuses is None and not sort.by_value and which.worker_version is None:
        branches = [Branch("jobs", ["s.tenant_id = $1"])]
    else:
        branches = _branches_of(frozenset(JobStatus) if statuses is None else statuses)
    if not branches:
        return JobSelection([Branch("job_results", ["s.tenant_id = $1", "false"])], params)
    indexed, searched = _indexed_conditions(which, put), _searched_conditions(which, put)
    return JobSelection([_with(branch, indexed, searched) for branch in branches], params)


def _statuses_of(which: JobFilter) -> frozenset[JobStatus] | None:
    """Return the statuses that the filter leaves; None for all."""
    possible = None if which.min_duration_ms is None else TERMINAL
    if which.error_code is not None or which.error_contains is not None:
        possible = _FAILED
    if possible is None or which.statuses is None:
        return possible if which.statuses is None else which.statuses
    return which.statuses & possible


def _branches_of(statuses: frozenset[JobStatus]) -> list[Branch]:
    """Return a branch for the queue, and one for each final state: so the index of each gives its newest."""
    branches = []
    if live := statuses & LIVE:
        branches.append(Branch("job_queue", ["s.tenant_id = $1", *_STATES_OF_ROWS[live]]))
    branches += [
        Branch("job_results", ["s.tenant_id = $1", f"s.status = '{status}'"])
        for status in sorted(statuses & TERMINAL)
    ]
    return branches


def _indexed_conditions(which: JobFilter, put: Callable[[object], str]) -> list[str]:
    conditions = []
    if which.ids is not None:
        conditions.append(f"{{id}} = ANY ({put(sorted(which.ids))}::text[])")
    if which.worker_id is not None:
        conditions.append(f"s.worker_id = {put(which.worker_id)}")
    if which.created_after is not None:
        conditions.append(f"{{id}} >= {put(floor_id('job', which.created_after))}")
    if which.created_before is not None:
        bound = floor_id("job", which.created_before + timedelta(milliseconds=1))
        conditions.append(f"{{id}} < {put(bound)}")
    return conditions


def _searched_conditions(which: JobFilter, put: Callable[[object], str]) -> list[str]:
    conditions = []
    if which.trigger is not None:
        conditions.append(f"{{job}}.trigger = {put(which.trigger)}")
    if which.schedule_id is not None:
        conditions.append(f"coalesce({{job}}.schedule_id = {put(which.schedule_id)}, false)")
    if which.parent_job_id is not None:
        conditions.append(f"{{job}}.parent_job_id = {put(which.parent_job_id)}")
    if which.error_code is not None:
        conditions.append(f"coalesce(s.error ->> 'code' = {put(which.error_code)}, false)")
    if which.error_contains is not None:
        text = "lower(coalesce(s.error ->> 'message', ''))"
        conditions.append(f"position(lower({put(which.error_contains)}) IN {text}) > 0")
    if which.min_duration_ms is not None:
        conditions.append(f"coalesce(s.duration_ms >= {put(which.min_duration_ms)}, false)")
    if which.worker_version is not None:
        conditions.append(f"s.worker_version = {put(which.worker_version)}")
    if which.retried is not None:
        # Not EXISTS, for which the planner may read all retries of the tenant into a hash table.
        retry = "SELECT true FROM job_retries x WHERE x.tenant_id = $1 AND x.job_id = {id}"
        conditions.append(f"({retry}) IS {'NOT ' if which.retried else ''}NULL")
    return conditions


def _with(branch: Branch, indexed: Sequence[str], searched: Sequence[str]) -> Branch:
    """Return a branch with conditions; what causes a job is in `jobs`, which has indexes for it."""
    names = {"id": branch.id_column, "job": "s" if branch.table == "jobs" else "t"}
    where = [*branch.where, *(condition.format_map(names) for condition in indexed)]
    found = [condition.format_map(names) for condition in searched]
    if branch.table == "jobs":
        by_index = [condition for condition in found if condition.startswith(_INDEXED_CAUSES)]
        return Branch("jobs", [*where, *by_index], [one for one in found if one not in by_index])
    needs_job = any("{job}" in condition for condition in searched)
    join = f"JOIN jobs t ON t.tenant_id = s.tenant_id AND t.id = {branch.id_column}" if needs_job else ""
    return Branch(branch.table, where, found, join)
