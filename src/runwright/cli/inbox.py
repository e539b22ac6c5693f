"""`runwright inbox`: questions that agents and automations put to people, and the answers."""

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
from runwright.cli.terminal import one_line, painter, printable
from runwright.cli.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.events import InboxInfo

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
        bool, typer.Option("--answered", help="Those that were answered, instead of those that wait.")
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
            Column("BY", lambda one: "" if one.answer is None else one.answer.by, flexible=True),
        ]
    else:
        columns.append(Column("ANSWERS", lambda one: " ".join(one.answers), wide=True))
    return columns


def _answer(one: "InboxInfo") -> str:
    return "" if one.answer is None else one.answer.answer


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
        "answers": ", ".join(one.answers) if given is None else "",
        "answer": "" if given is None else f"{given.answer}, by {given.by}",
        "note": "" if given is None else given.note or "",
    }
    payload = printable(json.dumps(one.payload, indent=2, ensure_ascii=False))
    return f"{section(one.id, values)}\n{payload}"


@app.command()
@writes
def approve(remote: Remote, *, question: QuestionRef, note: Note = None) -> None:
    """Approve what an agent has flagged. The first answer stands.

    Examples:
    $ runwright inbox approve exn_01jd9x3v7m0000000000000000 --note "Looks right to me."
    """
    _give(remote, question, "approve", note)


@app.command()
@writes
def reject(remote: Remote, *, question: QuestionRef, note: Note = None) -> None:
    """Reject what an agent has flagged. The first answer stands.

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
    return f"{mark} {one.id}: {_answer(one)}   {one_line(f'{one.asked_by} asked about {one.subject}')}"
