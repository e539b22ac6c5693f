"""`runwright inbox`: questions that agents, automations and programs put to people, and the answers."""

import json
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from runwright.cli.apps import Commands
from runwright.cli.exits import UsageError
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column, section
from runwright.cli.refs import find_question, short_id
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.run import read_input
from runwright.cli.terminal import one_line, painter, printable
from runwright.cli.times import ago, require_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.events import AskOptions, InboxInfo

app = Commands(COMMANDS["inbox"])

QuestionRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="QUESTION", help="The id of a question, or the end of one.")
]
Note: TypeAlias = Annotated[
    str | None, typer.Option("--note", "-m", metavar="TEXT", help="Why; it is kept with the answer.")
]
_WAITING, _ANSWERED = "waiting", "answered"
_STYLES: Final = {"approve": "green", "reject": "red"}


@app.command("list")
@reads
def list_(
    remote: Remote,
    *,
    answered: Annotated[
        bool, typer.Option("--answered", help="Those that have ended, instead of those that wait.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most to show; 0: all.")] = 50,
) -> None:
    """List what waits for a person, newest first.

    Examples:
    $ runwright inbox list
    $ runwright inbox list --answered -o json
    """
    found = remote.client.inbox.list(status=_ANSWERED if answered else _WAITING)
    empty = "Nothing was answered yet." if answered else "Nothing waits for you."
    remote.output.rows(islice(found, limit or None), _columns(answered=answered), empty=empty)


def _columns(*, answered: bool) -> "Sequence[Column[InboxInfo]]":
    now = datetime.now(UTC)
    columns: list[Column[InboxInfo]] = [
        Column("ID", lambda one: short_id(one.id, sys.stdout), style=lambda _: "dim"),
        Column("AGE", lambda one: ago(one.asked_at, now), right=True),
        Column("ASKED BY", lambda one: one.asked_by, style=lambda _: "bold", flexible=True),
        Column("ABOUT", lambda one: one.subject, flexible=True),
        Column("QUESTION", lambda one: one.question or "", flexible=True),
    ]
    if answered:
        columns += [
            Column("ANSWER", _answer, style=lambda one: _STYLES.get(_answer(one), "")),
            Column("BY", _answered_by, flexible=True),
        ]
    else:
        columns.append(Column("ANSWERS", lambda one: " ".join(one.answers), wide=True))
    return columns


def _answer(one: "InboxInfo") -> str:
    if one.answer is not None:
        return one.answer.answer
    return "" if one.status == _WAITING else one.status.replace("_", " ")


def _answered_by(one: "InboxInfo") -> str:
    if one.answer is None:
        return ""
    return "(default)" if one.answer.timed_out else one.answer.by or ""


def _audience(one: "InboxInfo") -> str:
    who = ", ".join(one.user_ids) or one.role
    several = f", {one.quorum} of them must agree" if one.quorum > 1 else ""
    return who + several + (", not those who caused it" if one.four_eyes else "")


def _deadline(one: "InboxInfo") -> str:
    if one.deadline is None or one.ended_at is not None:
        return ""
    then = f", then {one.default}" if one.default is not None else ""
    return one.deadline.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") + then


@app.command()
@reads
def get(remote: Remote, *, question: QuestionRef) -> None:
    """Show a question with its payload, and its answer if there is one.

    Examples:
    $ runwright inbox get exn_01jd9x3v7m0000000000000000
    """
    found = remote.client.inbox.get(find_question(remote.client, question))
    remote.output.thing(found, lambda: _details(found))


def _details(one: "InboxInfo") -> str:
    given = one.answer
    values = {
        "asked by": f"{one.asked_by}, {ago(one.asked_at, datetime.now(UTC))} ago",
        "about": one.subject,
        "question": one.question or "",
        "job": one.job_id or "",
        "answers": ", ".join(one.answers) if given is None else "",
        "for": _audience(one),
        "until": _deadline(one),
        "so far": ", ".join(f"{vote.answer} by {vote.by}" for vote in one.given if one.quorum > 1),
        "ended": one.status.replace("_", " ") if given is None and one.ended_at else "",
        "answer": "" if given is None else f"{given.answer}, by {_answered_by(one)}",
        "note": "" if given is None else given.note or "",
    }
    payload = printable(json.dumps(one.payload, indent=2, ensure_ascii=False))
    return f"{section(one.id, values)}\n{payload}"


@app.command()
@writes
def approve(remote: Remote, *, question: QuestionRef, note: Note = None) -> None:
    """Approve what an agent or a program asks. The first answer stands.

    Examples:
    $ runwright inbox approve exn_01jd9x3v7m0000000000000000 --note "Looks right to me."
    """
    _give(remote, question, "approve", note)


@app.command()
@writes
def reject(remote: Remote, *, question: QuestionRef, note: Note = None) -> None:
    """Reject what an agent or a program asks. The first answer stands.

    Examples:
    $ runwright inbox reject exn_01jd9x3v7m0000000000000001
    """
    _give(remote, question, "reject", note)


@app.command()
@writes
def answer(
    remote: Remote,
    *,
    question: QuestionRef,
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the question's answers.")],
    note: Note = None,
) -> None:
    """Give another of a question's answers. The first answer stands.

    Examples:
    $ runwright inbox answer exn_01jd9x3v7m0000000000000002 skip
    """
    _give(remote, question, answer, note)


@app.command()
@writes
def ask(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    question: Annotated[str, typer.Argument(metavar="TEXT", help="The question.")],
    about: Annotated[str, typer.Option("--about", metavar="TEXT", help="What it is about, in short.")] = "",
    payload: Annotated[
        list[str] | None,
        typer.Option("--payload", "-i", metavar="KEY=VALUE", help="What to decide on; also @FILE and -."),
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="TEXT", help="A possible answer, repeatable; else approve, reject."),
    ] = None,
    role: Annotated[
        str | None, typer.Option("--role", help="The role that may answer; by default tenant-admin.")
    ] = None,
    users: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="A user that may, repeatable.")
    ] = None,
    quorum: Annotated[int, typer.Option("--quorum", min=1, help="How many must give the same answer.")] = 1,
    four_eyes: Annotated[
        bool, typer.Option("--four-eyes", help="You may not answer, nor who started the job.")
    ] = False,
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="The job that it is about.")] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="For how long it waits: 30m, 72h.")
    ] = None,
    default: Annotated[
        str | None, typer.Option("--default", metavar="TEXT", help="The answer when the time has passed.")
    ] = None,
) -> None:
    """Ask people a question, and print its id.

    Examples:
    $ runwright inbox ask "Deploy 2.1?" --timeout 4h --default reject
    $ runwright inbox ask "Which region?" --answer eu --answer us --user ada
    """
    options: AskOptions = {"subject": about, "quorum": quorum, "four_eyes": four_eyes}
    if answers:
        options["answers"] = answers
    if role is not None:
        options["role"] = role
    if users:
        options["user_ids"] = users
    if job is not None:
        options["job_id"] = job
    if timeout is not None:
        options["timeout_seconds"] = int(require_duration("--timeout", timeout).total_seconds())
    if default is not None:
        options["default"] = default
    asked = remote.writer.inbox.ask(question, read_input(payload or []), **options)
    remote.output.thing(asked, lambda: asked.id)


@app.command()
@writes
def link(
    remote: Remote,
    *,
    question: QuestionRef,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="Whose answer it is.")],
    ttl: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long the link works: 1h, 7d; 30d at most.")
    ] = "7d",
) -> None:
    """Print a link with which a user answers a question, once, without a key.

    Examples:
    $ runwright inbox link qst_01jd9x3v7m0000000000000000 --user ada --for 24h
    """
    seconds = int(require_duration("--for", ttl).total_seconds())
    made = remote.writer.inbox.link(find_question(remote.client, question), user, ttl_seconds=seconds)
    remote.output.thing(made, lambda: made.url)


@app.command()
@writes
def withdraw(remote: Remote, *, question: QuestionRef) -> None:
    """End a question that a program has asked, without an answer.

    Examples:
    $ runwright inbox withdraw qst_01jd9x3v7m0000000000000000
    """
    item_id = find_question(remote.client, question)
    ended = remote.writer.inbox.withdraw(item_id)
    remote.output.thing(ended, lambda: f"{ended.id}: withdrawn")


def _give(remote: Remote, question: str, answer: str, note: str | None) -> None:
    item_id = find_question(remote.client, question)
    found = remote.client.inbox.get(item_id)
    if answer not in found.answers and found.answer is None:
        raise UsageError(
            f"{answer!r} is no answer to this question.",
            hint=f"runwright inbox answer {item_id} {'|'.join(found.answers)}",
        )
    given = remote.writer.inbox.answer(item_id, answer, note=note)
    remote.output.thing(given, lambda: _given(given))


def _given(one: "InboxInfo") -> str:
    mark = painter(sys.stdout)("green", "✓")
    if one.status == _WAITING:
        said = ", ".join(vote.answer for vote in one.given)
        return f"{mark} {one.id}: {said}   {one.quorum} people must agree"
    about = one.subject or one.question or ""
    return f"{mark} {one.id}: {_answer(one)}   {one_line(f'{one.asked_by} asked about {about}')}"
