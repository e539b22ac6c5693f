"""`runwright automation`: jobs, triggers and runs of a server, over its API.

`jobs` are prompts on a schedule, `triggers` prompts for events and webhooks, `runs` their firings.
"""

from runwright.cli.apps import Commands
from runwright.cli.automation.jobs import app as jobs
from runwright.cli.automation.runs import app as runs
from runwright.cli.automation.triggers import app as triggers
from runwright.cli.index import COMMANDS

__all__ = ["app"]

app = Commands(COMMANDS["automation"])
app.add_typer(jobs, name="jobs")
app.add_typer(triggers, name="triggers")
app.add_typer(runs, name="runs")
