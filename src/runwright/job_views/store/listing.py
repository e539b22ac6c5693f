"""Pages of jobs, by when they were created or started or by how long they ran.

In the order of creation a page continues after an id. What is searched, or sorted by a number, is searched
and sorted in a window (see `selection`). A search continues below its window; an order by numbers does not,
and its cursor keeps the newest job of the window, so that later jobs do not move what is in it.
"""

import asyncio
import re
from typing import Final

import msgspec

from runwright.core.ids import JobId, is_id
from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.db.pool import Database
from runwright.job_views.model import JobFilter, JobSort
from runwright.job_views.store.selection import SEARCH_WINDOW, JobSelection, select_jobs
from runwright.jobs.model import Job
from runwright.jobs.store.read import JOB_COLUMNS, JOB_STATE, fetch_jobs, job_from_row

_NUMBER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class JobListing(Listing[Job], frozen=True, kw_only=True):
    """A page of jobs. `cut`: only a window of them was searched or sorted, and `total` counts in it."""

    cut: bool = False


class _Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: the jobs of the page and one more, and where the window begins and ends."""

    ids: list[JobId]
    numbers: list[int]
    read: int
    total: int
    oldest: str
    newest: str

    @property
    def cut(self) -> bool:
        """Whether there may be more jobs than were read."""
        return self.read >= SEARCH_WINDOW


class JobCursor(msgspec.Struct, frozen=True, kw_only=True):
    """After which job a page begins. With an order by a number: the number, and the window's newest job."""

    sort: JobSort
    job_id: str
    value: int = 0
    newest: str = ""

    def encode(self) -> str:
        """Return the cursor as text; the text of one order is not a cursor of another."""
        if self.sort is JobSort.NEWEST:
            return self.job_id
        parts = (str(self.value), self.newest) if self.sort.by_value else ()
        return " ".join((self.sort, self.job_id, *parts))


def decode_cursor(text: str, sort: JobSort) -> JobCursor | None:
    """Return the cursor of an order in a text, or None."""
    if sort is JobSort.NEWEST:
        return JobCursor(sort=sort, job_id=text) if is_id("job", text) else None
    kind, *parts = text.split(" ")
    if kind != sort or len(parts) != (3 if sort.by_value else 1) or not is_id("job", parts[0]):
        return None
    if not sort.by_value:
        return JobCursor(sort=sort, job_id=parts[0])
    if not _NUMBER.fullmatch(parts[1]) or abs(int(parts[1])) >= 2**63 or not is_id("job", parts[2]):
        return None
    return JobCursor(sort=sort, job_id=parts[0], value=int(parts[1]), newest=parts[2])


async def list_jobs(
    db: Database,
    *,
    tenant_id: str,
    which: JobFilter,
    page: PageRequest,
    sort: JobSort = JobSort.NEWEST,
    columns: str = JOB_COLUMNS,
) -> JobListing:
    """Return one page of jobs; `page.after_id` is the text of a cursor of this order.

    Without `payloads`, the jobs' inputs are empty objects and their outputs null.

    The total is exact up to a bound and estimated above it, or counts in the window.
    """
    selection = select_jobs(tenant_id, which, sort)
    after = None if page.after_id is None else decode_cursor(page.after_id, sort)
    if selection.searches or sort.by_value:
        return await _list_window(db, tenant_id, selection, page, sort, after, columns)
    return await _list_indexed(db, selection, page, sort, after, columns)


async def _list_indexed(
    db: Database,
    selection: JobSelection,
    page: PageRequest,
    sort: JobSort,
    after: JobCursor | None,
    columns: str,
) -> JobListing:
    offset = 0 if after is not None else (page.page - 1) * page.per_page
    params, bound = list(selection.params), ""
    if after is not None:
        params.append(after.job_id)
        bound = f"{{id}} {sort.beyond} ${len(params)}"
    window = selection.window(offset + page.per_page + 1, bound=bound, sort=sort)
    sql = f"""
        WITH page AS MATERIALIZED (SELECT id FROM {window} AS rows ORDER BY id {sort.order} OFFSET {offset})
        SELECT {columns} FROM page
        JOIN jobs j ON j.tenant_id = $1 AND j.id = page.id {JOB_STATE}
        ORDER BY j.id {sort.order}
        """
    rows, total = await asyncio.gather(db.fetch(sql, *params), _count(db, selection))
    jobs = [job_from_row(row) for row in rows[: page.per_page]]
    more = len(rows) > page.per_page
    next_id = JobCursor(sort=sort, job_id=jobs[-1].id).encode() if more else None
    return JobListing(rows=jobs, total=total, has_more=more, next_id=next_id)


async def _count(db: Database, selection: JobSelection) -> int:
    rows = selection.all_rows()
    bounded = f"SELECT 1 FROM ({rows}) AS unbounded LIMIT {EXACT_COUNT_LIMIT + 1}"
    counted: int = await db.fetchval(f"SELECT count(*) FROM ({bounded}) AS bounded", *selection.params)
    if counted <= EXACT_COUNT_LIMIT:
        return counted
    plan = await db.fetchval(f"EXPLAIN (FORMAT JSON) {rows}", *selection.params)
    return max(counted, int(msgspec.json.decode(plan)[0]["Plan"]["Plan Rows"]))


async def _list_window(
    db: Database,
    tenant_id: str,
    selection: JobSelection,
    page: PageRequest,
    sort: JobSort,
    after: JobCursor | None,
    columns: str,
) -> JobListing:
    offset = 0 if after is not None else (page.page - 1) * page.per_page
    params, bound, rest = list(selection.params), "", "true"
    if after is not None and sort.by_value:
        params += [after.newest, after.value, after.job_id]
        size = len(params)
        bound, rest = f"{{id}} <= ${size - 2}", f"(value, id) {sort.beyond} (${size - 1}, ${size})"
    elif after is not None:
        params.append(after.job_id)
        bound = f"{{id}} {sort.beyond} ${len(params)}"
    order = f"value {sort.order}, id {sort.order}" if sort.by_value else f"id {sort.order}"
    row = await db.fetchrow(
        f"""
        WITH searched AS MATERIALIZED ({selection.window(SEARCH_WINDOW, bound=bound, sort=sort)}),
        page AS MATERIALIZED (
            SELECT id, value FROM searched WHERE found AND {rest}
            ORDER BY {order} LIMIT {page.per_page + 1} OFFSET {offset}
        )
        SELECT ARRAY(SELECT id FROM page ORDER BY {order}) AS ids,
               ARRAY(SELECT value FROM page ORDER BY {order}) AS numbers, s.*
        FROM (SELECT count(*) AS read, count(*) FILTER (WHERE found) AS total,
                     coalesce(min(id), '') AS oldest, coalesce(max(id), '') AS newest FROM searched) AS s
        """,
        *params,
    )
    assert row is not None  # noqa: S101  it counts
    found = msgspec.convert(dict(row), _Window)
    shown, more = found.ids[: page.per_page], len(found.ids) > page.per_page
    jobs = await fetch_jobs(db, tenant_id=tenant_id, job_ids=shown, columns=columns)
    by_id = {job.id: job for job in jobs}
    cursor = _next_cursor(found, len(shown), sort, more=more)
    return JobListing(
        rows=[by_id[job_id] for job_id in shown if job_id in by_id],
        total=found.total,
        has_more=cursor is not None,
        next_id=None if cursor is None else cursor.encode(),
        cut=found.cut,
    )


def _next_cursor(found: _Window, shown: int, sort: JobSort, *, more: bool) -> JobCursor | None:
    """Return where the next page begins: after the last job shown, or where a search has stopped."""
    if more:
        last, value = found.ids[shown - 1], found.numbers[shown - 1]
        return JobCursor(sort=sort, job_id=last, value=value, newest=found.newest)
    if found.cut and not sort.by_value:
        return JobCursor(sort=sort, job_id=found.newest if sort.ascending else found.oldest)
    return None
