"""`runwright automation`: jobs, triggers, runs and tasks of a server, over its API.

`jobs` are prompts on a schedule, `triggers` prompts for events and webhooks, `runs` their firings, `tasks`
what jobs with a task leave to people.
"""

from runwright.cli.apps import Commands
from runwright.cli.automation.jobs import app as jobs
from runwright.cli.automation.runs import app as runs
from runwright.cli.automation.tasks import app as tasks
from runwright.cli.automation.triggers import app as triggers
from runwright.cli.index import COMMANDS

__all__ = ["app"]

app = Commands(COMMANDS["automation"])
app.add_typer(jobs, name="jobs")
app.add_typer(triggers, name="triggers")
app.add_typer(runs, name="runs")
app.add_typer(tasks, name="tasks")
