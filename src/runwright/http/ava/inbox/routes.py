"""The routes of the inbox."""

from typing import Final

from runwright.core.ids import ItemId
from runwright.http.ava.authorization import ANSWERS, READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, encode_time_part, read_time_part
from runwright.http.ava.inbox.schemas import (
    ANSWER,
    LIST_INBOX,
    PAYLOAD_BYTES,
    AnswerIn,
    InboxItemOut,
    InboxPageOut,
    InboxPagination,
    InboxQuery,
    item_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/inbox", tag="Inbox")


@ROUTES.add("GET", "", READS, "List the inbox", query=InboxQuery, errors=(422,))
async def list_inbox(request: Request) -> InboxPageOut:
    """Returns questions newest first: the executions that agents have flagged."""
    query = request.query(LIST_INBOX)
    page = await request.services.inbox.list(
        request.tenant_id,
        answered=query.status == "answered",
        before=read_time_part(query.cursor),
        limit=query.per_page,
    )
    before = page.next_before
    return InboxPageOut(
        [item_out(item, most_bytes=PAYLOAD_BYTES) for item in page.rows],
        InboxPagination(
            per_page=query.per_page,
            has_more=before is not None,
            next_cursor=None if before is None else encode_time_part(before),
            waiting=page.waiting,
        ),
    )


@ROUTES.add("GET", "/{item_id}", READS, "Get a question", errors=(404, 422))
async def get_question(request: Request) -> Data[InboxItemOut]:
    """Returns the question with its whole payload, and its answer if there is one."""
    item_id = ItemId(request.params["item_id"])
    return Data(item_out(await request.services.inbox.get(request.tenant_id, item_id)))


@ROUTES.add(
    "POST",
    "/{item_id}/answer",
    ANSWERS,
    "Answer a question",
    status=200,
    body=AnswerIn,
    errors=(404, 409, 422),
    example={"answer": "approve", "note": "Looks right to me."},
)
async def answer_question(request: Request) -> Data[InboxItemOut]:
    """Answers a question. The first answer stands: a different one is a 409.

    The answer is recorded for the user of `x-user-id`, else for the key.
    """
    item_id = ItemId(request.params["item_id"])
    await request.services.inbox.get(request.tenant_id, item_id)
    body = await request.body(ANSWER)
    inbox = request.services.inbox
    return Data(item_out(await inbox.answer(request.caller, item_id, body.answer, body.note)))
