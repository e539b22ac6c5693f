"""What people do with jobs and triggers alike."""

from collections.abc import Callable, Mapping, Sequence

from runwright.cli.automation.options import BASE, path_of, read_list, read_runs, unwrapped
from runwright.cli.automation.runs import show_runs
from runwright.cli.remote import Remote, Thing
from runwright.core.clock import system_clock


class Definitions:
    """The jobs or the triggers of a server; what it answers is shown."""

    def __init__(
        self, name: str, *, describe: Callable[[Thing], str], table: Callable[[Sequence[Thing]], str]
    ) -> None:
        """`name` is what the API calls one of them."""
        self._one, self._many = name, f"{name}s"
        self._describe = describe
        self._table = table

    def list(self, remote: Remote, last: int | None, **query: str | None) -> None:
        found = read_list(remote, f"{BASE}/{self._many}", self._many, last, **query)
        remote.show_all(self._many, found, self._table)

    def create(self, remote: Remote, body: Mapping[str, object]) -> None:
        self._show(remote, remote.ask("POST", f"{BASE}/{self._many}", body))

    def get(self, remote: Remote, one_id: str) -> None:
        self._show(remote, remote.get(path_of(self._many, one_id)))

    def change(self, remote: Remote, one_id: str, body: Mapping[str, object]) -> None:
        self._show(remote, remote.ask("PATCH", path_of(self._many, one_id), body))

    def delete(self, remote: Remote, one_id: str) -> None:
        """Delete one, and show what it was."""
        found = remote.get(path_of(self._many, one_id))
        remote.ask("DELETE", path_of(self._many, one_id))
        self._show(remote, found)

    def history(
        self,
        remote: Remote,
        one_id: str,
        *,
        status: str | None,
        since: str | None,
        until: str | None,
        last: int | None,
    ) -> None:
        """Show the runs that one has fired."""
        path = path_of(self._many, one_id, "runs")
        found = read_runs(remote, path, system_clock(), last=last, since=since, until=until, status=status)
        show_runs(remote, found)

    def _show(self, remote: Remote, answer: Thing) -> None:
        remote.show(unwrapped(answer, self._one), self._describe)
