"""`runwright jobs list` and `get`."""

import json
import sys
import textwrap
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

import typer

from runwright.cli.arguments import JobRef
from runwright.cli.job_rendering import describe_job, job_columns
from runwright.cli.jobs.filters import JobFilters, takes_job_filters
from runwright.cli.refs import find_job_id
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import note, painter, shown

_PAGE: Final = 100


@reads
@takes_job_filters
def list_(
    remote: Remote,
    *,
    filters: JobFilters,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most jobs to show; 0: all.")] = 20,
    sort: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="created, started or duration; -duration: longest first."),
    ] = None,
) -> None:
    """List jobs, the newest first.

    Examples:
    $ runwright jobs list --status failed --since 24h
    $ runwright jobs list --worker digest --limit 0 -o jsonl
    """
    selection = filters.selection() | ({} if sort is None else {"sort": sort})
    page = min(limit or _PAGE, _PAGE)
    found = remote.client.jobs.list(**selection, payloads=not remote.output.is_table, per_page=page)
    rows = islice(found, limit or None)
    shown_rows = remote.output.rows(
        rows, job_columns(datetime.now(UTC)), empty=f"There are no {filters.described()}."
    )
    if limit and shown_rows == limit and remote.output.is_table and sys.stdout.isatty():
        note(f"The newest {limit}; more with --limit.", "dim")


@reads
def get(remote: Remote, *, job: JobRef) -> None:
    """Show a job with its input and output.

    Examples:
    $ runwright jobs get job_01jd9x3v7m0000000000000000
    $ runwright jobs get 7m4k9x2c -o json
    """
    found = remote.client.jobs.get(find_job_id(remote.client, job))
    remote.output.thing(found, lambda: _described(found))


def _described(job: Any) -> str:  # noqa: ANN401  a JobInfo
    blocks = [describe_job(job)]
    blocks += [json_block("Input", job.input)] if job.input else []
    blocks += [json_block("Output", job.output)] if job.output is not None else []
    if job.error is not None and job.error.stack:
        stack = textwrap.indent(shown(job.error.stack.rstrip(), sys.stdout), "  ")
        blocks.append(f"{painter(sys.stdout)('bold', 'Stack')}\n{stack}")
    return "\n\n".join(blocks)


def json_block(title: str, value: object) -> str:
    """Return a titled JSON value."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return f"{painter(sys.stdout)('bold', title)}\n{shown(text, sys.stdout)}"
