"""The routes of the inbox."""

from typing import Final

import msgspec

from runwright.core.ids import ItemId, JobId, QuestionId
from runwright.http.ava.authorization import ANSWERS, READS, RUNS, SHARES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, encode_time_part, known_id, read_time_part
from runwright.http.ava.inbox.schemas import (
    ANSWER,
    ASK,
    LINK,
    LIST_INBOX,
    PAYLOAD_BYTES,
    AnswerIn,
    AskIn,
    InboxItemOut,
    InboxPageOut,
    InboxPagination,
    InboxQuery,
    LinkedQuestionOut,
    LinkIn,
    NewLinkOut,
    item_out,
    linked_question_out,
    new_link_out,
    question_create,
)
from runwright.http.ava.jobs.schemas import read_idempotency
from runwright.http.principal import bearer_token, client_address, require_single
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.http.session_cookie import own_address
from runwright.inbox.questions import item_of
from runwright.questions.model import names_of

ROUTES: Final = Routes(AVA, "/v1/ava/inbox", tag="Inbox")
LINK_ROUTES: Final = Routes(AVA, "/v1/shared/question", tag="Inbox")

_OK: Final = 200
_UNINDEXED: Final = {"x-robots-tag": "noindex, nofollow"}


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


@ROUTES.add(
    "POST",
    "/{item_id}/links",
    SHARES,
    "Make a link to a question",
    body=LinkIn,
    errors=(404, 409, 422),
    example={"user_id": "ada"},
)
async def link_question(request: Request) -> Data[NewLinkOut]:
    """Makes a link with which one user answers this question, once, without a key: for mail and chat.

    The caller vouches for the user. The link ends with the key that it was made with. A sensitive question is
    not shown by its links, which lead to the sign-in.
    """
    question_id = QuestionId(known_id("qst", "question", request.params["item_id"]))
    body = await request.body(LINK)
    link, text = await request.services.question_links.create(
        request.caller, question_id, user_id=body.user_id, seconds=body.ttl_seconds
    )
    return Data(new_link_out(link, own_address(request), text))


@LINK_ROUTES.add("GET", "", None, "Get a linked question", errors=(401, 403))
async def show_linked_question(request: Request) -> Reply[Data[LinkedQuestionOut]]:
    """For anyone who has a link, sent as a bearer token: its question. Reading changes nothing."""
    link, question = await request.services.question_links.visit(_token(request), client_address(request))
    request.services.tenancy.status.require_active(link.tenant_id)
    return Reply(Data(linked_question_out(link, question)), _OK, _UNINDEXED)


@LINK_ROUTES.add(
    "POST",
    "/answer",
    None,
    "Answer a linked question",
    status=200,
    body=AnswerIn,
    errors=(401, 403, 409, 422),
    example={"answer": "approve", "note": "Looks right to me."},
)
async def answer_linked_question(request: Request) -> Reply[Data[LinkedQuestionOut]]:
    """For anyone who has a link: answers its question for its user. Then the link is used."""
    token, address = _token(request), client_address(request)
    links = request.services.question_links
    await links.visit(token, address)
    body = await request.body(ANSWER)
    link, question = await links.answer(
        token,
        address,
        answer=body.answer,
        note=body.note,
        admit=request.services.tenancy.status.require_active,
    )
    shown = linked_question_out(msgspec.structs.replace(link, used_at=request.services.clock()), question)
    return Reply(Data(shown), _OK, _UNINDEXED)


def _token(request: Request) -> str:
    require_single(request, (b"authorization",))
    return (bearer_token(request.headers) or b"").strip().decode("latin-1")
