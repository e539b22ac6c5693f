"""`runwright automation`: jobs, triggers and runs of a server, over its API.

`jobs` are prompts on a schedule, `triggers` prompts for events and webhooks, `runs` their firings.
"""

import typer

from runwright.cli.automation.jobs import app as jobs
from runwright.cli.automation.runs import app as runs
from runwright.cli.automation.triggers import app as triggers

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Prompts for agents: on a schedule, on an event, on a webhook.")
app.add_typer(jobs, name="jobs")
app.add_typer(triggers, name="triggers")
app.add_typer(runs, name="runs")
