"""`runwright explain`: where a job is, and why."""

import sys
from typing import TYPE_CHECKING

from runwright.cli.arguments import JobRef
from runwright.cli.job_rendering import painted_status
from runwright.cli.refs import find_job_id
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import continued, painter, printable

if TYPE_CHECKING:
    from runwright.client.models.jobs import ExplanationInfo


@reads
def explain(remote: Remote, *, job: JobRef) -> None:
    """Explain where a job is and why.

    Examples:
    $ runwright explain job_01jd9x3v7m0000000000000000
    """
    found = remote.client.jobs.explain(find_job_id(remote.client, job))
    remote.output.thing(found, lambda: _described(found))


def _described(found: "ExplanationInfo") -> str:
    paint = painter(sys.stdout)
    lines = [
        f"{paint('bold', found.job_id)}  {painted_status(found.status, sys.stdout)}",
        continued(printable(found.summary)),
    ]
    others = [reason for reason in found.reasons if reason.message != found.summary]
    lines += [f"  {paint('dim', reason.code)}  {continued(printable(reason.message))}" for reason in others]
    return "\n".join(lines)
