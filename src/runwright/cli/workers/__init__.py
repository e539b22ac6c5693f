"""`runwright workers`: list, look at, pause and delete workers, and go back to older versions."""

from runwright.cli.apps import Commands
from runwright.cli.index import COMMANDS
from runwright.cli.workers.changing import delete, pause, resume, rollback
from runwright.cli.workers.listing import get, list_
from runwright.cli.workers.versions import diff, versions

__all__ = ["app"]

app = Commands(COMMANDS["workers"])
app.command("list")(list_)
app.command("get")(get)
app.command("versions")(versions)
app.command("diff")(diff)
app.command("rollback")(rollback)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("delete")(delete)
