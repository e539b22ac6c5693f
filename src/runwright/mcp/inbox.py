"""The tool about the inbox: what waits for a person, and answers to it."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from runwright.client.models.events import InboxInfo
from runwright.mcp.field_selection import select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult, json_text
from runwright.mcp.tools import TOOLS, ToolContext, ToolError
from runwright.mcp.windows import PageParameters, list_page, text_part

_LISTED: Final = ("id", "asked_by", "subject", "question", "answers", "asked_at")
_DETAILS: Final = (*_LISTED, "kind", "status", "quorum", "deadline", "default", "given", "answer")


class Decide(PageParameters, frozen=True, kw_only=True):
    """Which question, and the answer."""

    item_id: (
        Annotated[str, Meta(description="The id of a question; without it those that wait are listed.")]
        | UnsetType
    ) = UNSET
    answer: (
        Annotated[str, Meta(description="One of its `answers`; without it the question is shown.")]
        | UnsetType
    ) = UNSET
    note: Annotated[str, Meta(max_length=2048, description="The reason.")] | UnsetType = UNSET


@TOOLS.add("Decide what waits for a person", Grant.RUN, destructive=True)
async def decide(context: ToolContext, parameters: Decide) -> ToolResult:
    """Answer a question that agents and programs put to people, once and for all.

    Without `answer` it shows the question and what it is about, without `item_id` the questions that wait.
    """
    if parameters.item_id is UNSET:
        if parameters.given("answer", "note"):
            raise ToolError("Say which question: `item_id`.")
        return await list_page(
            "questions wait", lambda rows: context.api.inbox.list(per_page=rows), parameters, _LISTED
        )
    if parameters.answer is UNSET:
        return _question(await context.api.inbox.get(parameters.item_id), parameters.cursor)
    note = parameters.given("note")
    answered = await context.api.inbox.answer(parameters.item_id, parameters.answer, **note)
    return ToolResult("The question was answered.", ToolOutput(data=select_fields(answered, _DETAILS)))


def _question(item: InboxInfo, cursor: str | UnsetType) -> ToolResult:
    """Return a question with its payload as JSON text, from a position on."""
    details: dict[str, Any] = select_fields(item, _DETAILS)
    part = text_part(json_text(item.payload), cursor, beside=details)
    return ToolResult(
        f"A question, with its payload {part.place}.",
        ToolOutput(data=details | {"payload": part.text}, next_cursor=part.next_cursor),
    )
