"""The routes of the inbox."""

from typing import Final

from runwright.core.ids import ItemId, JobId
from runwright.http.ava.authorization import ANSWERS, READS, RUNS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, encode_time_part, read_time_part
from runwright.http.ava.inbox.schemas import (
    ANSWER,
    ASK,
    LIST_INBOX,
    PAYLOAD_BYTES,
    AnswerIn,
    AskIn,
    InboxItemOut,
    InboxPageOut,
    InboxPagination,
    InboxQuery,
    item_out,
    question_create,
)
from runwright.http.ava.jobs.schemas import read_idempotency
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.inbox.questions import item_of
from runwright.questions.model import names_of

ROUTES: Final = Routes(AVA, "/v1/ava/inbox", tag="Inbox")


@ROUTES.add("GET", "", READS, "List the inbox", query=InboxQuery, errors=(422,))
async def list_inbox(request: Request) -> InboxPageOut:
    """Returns questions newest first: what agents have flagged, and what programs ask.

    `filter[status]=answered` lists all that have ended, also by their deadline.
    """
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


@ROUTES.add(
    "POST",
    "",
    RUNS,
    "Ask a question",
    body=AskIn,
    errors=(404, 409, 422),
    idempotent=True,
    example={
        "question": "Refund 120 EUR?",
        "subject": "order 12",
        "payload": {"order": 12, "amount": 120},
        "timeout_seconds": 259200,
        "default": "reject",
    },
)
async def ask_question(request: Request) -> Reply[Data[InboxItemOut]]:
    """Puts a question into the inbox. Its end is the event `ava.question.answered` or `.timed_out`.

    It ends with the answer that `quorum` people have given, with the default when its time has passed, or
    when it is withdrawn.
    """
    body = await request.body(ASK)
    barred = list(names_of(request.caller)) if body.four_eyes else []
    if body.job_id is not None:
        job = await request.services.jobs.get(request.tenant_id, JobId(body.job_id))
        barred += [job.triggered_by] if body.four_eyes else []
    new = question_create(body, request.caller.user_id, barred)
    idempotency = await read_idempotency(request)
    question, replayed = await request.services.questions.ask(request.caller, new, idempotency)
    return Reply(Data(item_out(item_of(question))), 200 if replayed else 201)


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
    """Answers a question. The first answer stands: a different one is a 409 that says what it was.

    Where several people must agree, each answers once; a key of a tenant is one person.
    The answer is recorded for the user of `x-user-id`, else for the key.
    """
    item_id = ItemId(request.params["item_id"])
    await request.services.inbox.get(request.tenant_id, item_id)
    body = await request.body(ANSWER)
    inbox = request.services.inbox
    return Data(item_out(await inbox.answer(request.caller, item_id, body.answer, body.note)))


@ROUTES.add("DELETE", "/{item_id}", RUNS, "Withdraw a question", status=200, errors=(404, 409, 422))
async def withdraw_question(request: Request) -> Data[InboxItemOut]:
    """Ends a question without an answer. What an agent has flagged cannot be withdrawn."""
    item_id = ItemId(request.params["item_id"])
    return Data(item_out(await request.services.inbox.withdraw(request.caller, item_id)))
