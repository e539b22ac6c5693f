"""What people type to name something: a name, an id, or the last characters of one."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TextIO, TypeVar

from runwright.cli.exits import CommandError, ExitCode, UsageError

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.schedules import ScheduleInfo
    from runwright.client.models.webhooks import WebhookInfo

SHORT: Final = 8
"""How many of the last characters of an id a table on a terminal shows."""

_SEARCHED: Final = 1_000
_PAGE: Final = 100
_SHOWN: Final = 60
_ID: Final = re.compile(r"[a-z]{2,4}_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_SUFFIX: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{4,26}", re.ASCII)


class Identified(Protocol):
    """What has an id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Identified)


def is_full_id(text: str) -> bool:
    """Return whether text has the form of an id."""
    return _ID.fullmatch(text) is not None


def is_suffix(text: str) -> bool:
    """Return whether text could be the end of an id."""
    return _SUFFIX.fullmatch(text.removeprefix("…").lower()) is not None


def short_id(some_id: str, stream: TextIO) -> str:
    """Return the end of an id on a terminal, which commands take for it; elsewhere, and wide, all of it."""
    if not Ids.shortened or not stream.isatty() or not is_full_id(some_id):
        return some_id
    return f"…{some_id[-SHORT:]}"


def show_full_ids() -> None:
    """Show all of each id from now on, also on a terminal: `-o wide`."""
    Ids.shortened = False


class Ids:
    """How ids are shown by this command."""

    shortened = True


def find_job_id(client: "Runwright", text: str) -> str:
    """Return the id of the job that is meant. UsageError where several could be."""
    if is_full_id(text):
        return text
    return _by_suffix(text, client.jobs.list(payloads=False, per_page=_PAGE), "job").id


def find_schedule(client: "Runwright", text: str) -> "ScheduleInfo":
    """Return the schedule that is meant by its name, its id or the end of it."""
    if is_full_id(text):
        return client.schedules.get(text)
    schedules = list(islice(client.schedules.list(), _SEARCHED))
    named = [one for one in schedules if one.name == text]
    if len(named) > 1:
        ids = ", ".join(one.id for one in named[:5])
        raise UsageError(f"Several schedules have the name {text!r}: {ids}.")
    return named[0] if named else _by_suffix(text, schedules, "schedule")


def find_webhook(client: "Runwright", text: str) -> "WebhookInfo":
    """Return the webhook that is meant by its URL, its id or the end of it."""
    if is_full_id(text):
        return client.webhooks.get(text)
    webhooks = list(islice(client.webhooks.list(), _SEARCHED))
    at = [one for one in webhooks if one.url == text]
    if len(at) > 1:
        raise UsageError(f"Several webhooks have this URL: {', '.join(one.id for one in at[:5])}.")
    return at[0] if at else _by_suffix(text, webhooks, "webhook")


def find_question(client: "Runwright", text: str) -> str:
    """Return the id of the question that is meant: one that waits, else one that was answered."""
    if is_full_id(text):
        return text
    statuses = ("waiting", "answered")
    found = (item for status in statuses for item in islice(client.inbox.list(status=status), _SEARCHED))
    return _by_suffix(text, found, "question").id


def _by_suffix(text: str, things: Iterable[T], kind: str) -> T:
    """Return the one thing whose id ends so, among the newest thousand."""
    suffix = text.removeprefix("…").lower()
    if not is_suffix(suffix):
        raise CommandError(f"There is no {kind} {text[:_SHOWN]!r}.", ExitCode.NOT_FOUND)
    found: list[T] = []
    for thing in islice(things, _SEARCHED):
        if thing.id.endswith(suffix):
            found.append(thing)
            if len(suffix) >= SHORT:
                break
    return _only(found, text, kind)


def _only(found: list[T], text: str, kind: str) -> T:
    if not found:
        raise CommandError(
            f"No {kind} has an id that ends in {text!r}.",
            ExitCode.NOT_FOUND,
            hint="Older ones: give the whole id.",
        )
    if len(found) > 1:
        ids = ", ".join(one.id for one in found[:5])
        raise UsageError(f"Several {kind}s have an id that ends in {text!r}: {ids}.")
    return found[0]
