"""Links with which one person answers one question, without a key: for mail and chat.

States of a link: open -> used, or its time passes, or its key ends. Reading with it changes nothing, however
often: scanners of mail open every link, and some run the page's script. Only an answer that is taken uses it,
in the transaction that takes the answer. It is the answer of the link's user; the caller who makes the link
vouches for that, and may make keys too. A sensitive question is neither shown nor answered by a link.
"""

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    RunwrightError,
    UnauthenticatedError,
)
from runwright.core.ids import QuestionId, new_id
from runwright.core.roles import Caller, KeyScope, Role
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.questions.model import Person, QuestionStatus
from runwright.questions.service import Answered, Questions
from runwright.questions.store import fetch_question
from runwright.tenants.audit import record
from runwright.tenants.model import digest, is_answer_text, new_answer_text
from runwright.tenants.rate_limits import Rate, RateLimiter
from runwright.tenants.session_store import KEY_ACTIVE

LINK_SECONDS: Final = 7 * 24 * 3600
LONGEST_LINK_SECONDS: Final = 30 * 24 * 3600
MOST_LINKS: Final = 100
"""How many links of one question may be open."""

_VISITS: Final = Rate(per_second=5, burst=60)
"""Requests with one link."""
_SIGN_IN: Final = "This question is answered by people who are signed in: open the inbox of the dashboard."


class QuestionLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link, without its text."""

    id: str
    tenant_id: str
    question_id: QuestionId
    user_id: str
    key_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


_COLUMNS: Final = column_list(QuestionLink, "s")


class QuestionLinks:
    """The links of all tenants. Methods return after their changes are committed."""

    def __init__(
        self,
        db: Database,
        questions: Questions,
        *,
        clock: Clock,
        platform_key: str,
        unknown: RateLimiter | None = None,
        on_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`unknown` limits the visits that no link is known for, by address."""
        self._db = db
        self._questions = questions
        self._clock = clock
        self._secret = digest(platform_key)
        self._unknown = unknown
        self._on_changed = on_changed
        self._visits = RateLimiter(_VISITS)

    async def create(
        self, caller: Caller, question_id: QuestionId, *, user_id: str, seconds: float
    ) -> tuple[QuestionLink, str]:
        """Make a link for a user; return it with its text, which is not stored.

        NotFoundError; ForbiddenError for a user that may not answer; ConflictError where it has ended;
        QuotaError.
        """
        if KeyScope.READ not in caller.scopes:
            raise ForbiddenError(
                "Making a link needs a key that can read the question: this one has no scope read."
            )
        now = self._clock()
        text = new_answer_text()
        async with self._db.acquire() as db, db.transaction():
            question = await fetch_question(db, caller.tenant_id, question_id, lock=True)
            if question is None:
                raise NotFoundError(f"There is no question {question_id}.")
            if question.status is not QuestionStatus.WAITING:
                raise ConflictError(question.outcome())
            link = QuestionLink(
                id=new_id("qlk", now),
                tenant_id=caller.tenant_id,
                question_id=question.id,
                user_id=user_id,
                key_id=caller.key_id,
                created_at=now,
                expires_at=now + timedelta(seconds=seconds),
            )
            if not question.may_come_to(_person(link)):
                raise ForbiddenError(f"The user {user_id} may not answer this question.")
            count = await _count_open(db, question_id, now)
            if count >= MOST_LINKS:
                raise QuotaError("question_links", MOST_LINKS, count)
            await insert_row(db, "question_links", row_of(link) | {"digest": self._digest(text)})
            await record(db, caller, "question.link", question.id, after=link, now=now)
        return link, text

    async def visit(self, text: str, address: str | None) -> tuple[QuestionLink, Answered]:
        """Return a link and its question, and change nothing. UnauthenticatedError, RateLimitedError."""
        link = await self._find(text, address, self._db, lock=False)
        return link, await self._questions.get(link.tenant_id, link.question_id)

    async def answer(
        self,
        text: str,
        address: str | None,
        *,
        answer: str,
        note: str | None,
        admit: Callable[[str], None],
    ) -> tuple[QuestionLink, Answered]:
        """Answer as the user of a link, which is used then. `admit` raises for a tenant that is suspended.

        UnauthenticatedError, RateLimitedError, ForbiddenError, InvalidError; ConflictError where the link was
        used, or the question has ended: that leaves the link unused.
        """
        async with self._db.acquire() as db, db.transaction():
            link = await self._find(text, address, db, lock=True)
            admit(link.tenant_id)
            refusal = await self._answer(db, link, answer, note)
        self._on_changed()
        if refusal is not None:
            raise refusal
        return link, await self._questions.get(link.tenant_id, link.question_id)

    async def _answer(
        self, db: PoolConnection, link: QuestionLink, answer: str, note: str | None
    ) -> RunwrightError | None:
        now = self._clock()
        if link.used_at is not None:
            return ConflictError("This link was used: it works once.")
        question = await fetch_question(db, link.tenant_id, link.question_id)
        if question is not None and question.sensitive:
            return ForbiddenError(_SIGN_IN)
        person = _person(link)
        # The entry of the audit log names the link in place of a key.
        caller = Caller(link.tenant_id, link.user_id, person.role, link.id)
        refusal = await self._questions.answer_in(
            db, caller, person, link.question_id, answer=answer, note=note, now=now
        )
        if refusal is None:
            await db.execute("UPDATE question_links SET used_at = $2 WHERE id = $1", link.id, now)
        return refusal

    async def _find(
        self, text: str, address: str | None, db: Database | PoolConnection, *, lock: bool
    ) -> QuestionLink:
        key = self._digest(text)
        _charge(self._visits, key.hex())
        row = None
        if is_answer_text(text):
            row = await db.fetchrow(
                f"SELECT {_COLUMNS} FROM question_links s"
                f" WHERE s.digest = $1 AND s.expires_at > $2 AND {KEY_ACTIVE}"
                + (" FOR UPDATE" if lock else ""),
                key,
                self._clock(),
            )
        if row is None:
            if self._unknown is not None and address is not None:
                _charge(self._unknown, address)
            raise UnauthenticatedError("This link is wrong, has expired, or was revoked.")
        return struct_from_row(QuestionLink, row)

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), "sha256")


async def prune_links(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` links whose time has passed; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM question_links WHERE id = ANY (ARRAY(
            SELECT id FROM question_links WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)


async def _count_open(db: PoolConnection, question_id: QuestionId, now: datetime) -> int:
    count: int = await db.fetchval(
        "SELECT count(*) FROM question_links WHERE question_id = $1 AND used_at IS NULL AND expires_at > $2",
        question_id,
        now,
    )
    return count


def _person(link: QuestionLink) -> Person:
    """Return the user of a link, for whom a caller of the highest role of a tenant vouches."""
    return Person(
        voter=link.user_id,
        user_id=link.user_id,
        role=Role.TENANT_SYSTEM_ADMIN,
        names=(link.user_id,),
    )


def _charge(limiter: RateLimiter, key: str) -> None:
    state = limiter.take(key)
    if state is not None and state.retry_after is not None:
        message = f"This link is asked for too often; try again in {state.retry_after} s."
        raise RateLimitedError(message, retry_after=state.retry_after)
