"""`runwright jobs`: list, watch, cancel, retry and share jobs."""

from runwright.cli.apps import Commands
from runwright.cli.index import COMMANDS
from runwright.cli.jobs.bulk import cancel, retry
from runwright.cli.jobs.listing import get, list_
from runwright.cli.jobs.sharing import share, shares, sharing, unshare
from runwright.cli.jobs.watching import watch

__all__ = ["app"]

app = Commands(COMMANDS["jobs"])
app.command("list")(list_)
app.command("get")(get)
app.command("watch")(watch)
app.command("cancel")(cancel)
app.command("retry")(retry)
app.command("share")(share)
app.command("shares")(shares)
app.command("unshare")(unshare)
app.command("sharing")(sharing)
