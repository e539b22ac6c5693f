"""Arguments that several commands have."""

from typing import Annotated, TypeAlias

import typer

from runwright.cli.completion import complete_jobs, complete_workers

JobRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="An id, or the end of one.", autocompletion=complete_jobs)
]
WorkerRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="WORKER", help="A name, or an id.", autocompletion=complete_workers)
]
