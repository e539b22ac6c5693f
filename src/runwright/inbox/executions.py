"""Questions of agents: the executions that they have flagged for a person's review."""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.agents.executions import Executions
from runwright.agents.model import LONGEST_REASON, Action, DecidedError, Decision, Execution
from runwright.agents.store.executions import fetch_executions
from runwright.agents.store.flagged import agent_names, count_flagged, flagged_ids
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import ExecutionId, ItemId, is_id
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.inbox.model import InboxAnswer, InboxItem, InboxStatus

PREFIX: Final = "exn"
ANSWERS: Final = (Action.APPROVE, Action.REJECT, Action.SKIP)


class FlaggedExecutions:
    """The source of flagged executions."""

    def __init__(self, db: Database, executions: Executions) -> None:
        self._db = db
        self._executions = executions

    async def page(
        self, tenant_id: str, *, answered: bool, older_than: str | None, limit: int
    ) -> Sequence[InboxItem]:
        """Return flagged executions, newest first."""
        before = None if older_than is None else f"{PREFIX}_{older_than}"
        ids = await flagged_ids(
            self._db, tenant_id=tenant_id, reviewed=answered, older_than=before, limit=limit
        )
        return await self._items(await fetch_executions(self._db, ids) if ids else [])

    async def count(self, tenant_id: str, *, bound: int) -> int:
        """Return how many executions wait for a review."""
        return await count_flagged(self._db, tenant_id=tenant_id, bound=bound)

    async def get(self, tenant_id: str, item_id: ItemId) -> InboxItem:
        """Return one that is or was flagged. NotFoundError."""
        if not is_id(PREFIX, item_id):
            raise _no_question(item_id)
        execution = await self._executions.get(tenant_id, ExecutionId(item_id))
        if execution.action is not Action.FLAG and execution.review is None:
            raise _no_question(item_id)
        [item] = await self._items([execution])
        return item

    async def answer(self, caller: Caller, item_id: ItemId, answer: str, note: str | None) -> InboxItem:
        """Review a flagged execution; the same review again by the same person is a repetition."""
        if answer not in ANSWERS:
            raise InvalidError({"answer": [f"Must be one of: {', '.join(ANSWERS)}."]})
        if note is not None and len(note) > LONGEST_REASON:
            raise InvalidError({"note": [f"Must have at most {LONGEST_REASON} characters."]})
        await self.get(caller.tenant_id, item_id)
        try:
            decision = Decision(action=Action(answer), reason=note)
            await self._executions.review(caller, ExecutionId(item_id), decision)
        except DecidedError as error:
            item = await self.get(caller.tenant_id, item_id)
            given = item.answer
            if given is None or (given.answer, given.note, given.by) != (answer, note, caller.user_id):
                raise ConflictError(error.message) from None
            return item
        return await self.get(caller.tenant_id, item_id)

    async def withdraw(self, caller: Caller, item_id: ItemId) -> InboxItem:
        """Refuse: what an agent has flagged ends with a decision."""
        item = await self.get(caller.tenant_id, item_id)
        raise ConflictError(f"What an agent has flagged is not withdrawn but answered: {item.id}.")

    async def _items(self, executions: Sequence[Execution]) -> Sequence[InboxItem]:
        names = await agent_names(self._db, {one.agent_id for one in executions}) if executions else {}
        return [_item(one, names.get(one.agent_id, one.agent_id)) for one in executions]


class _Response(msgspec.Struct, frozen=True):
    """The part of an agent's answer that the inbox shows: why it asks."""

    reason: str | None = None


def _item(execution: Execution, agent: str) -> InboxItem:
    response = execution.response
    reason = None if response is None else msgspec.json.decode(response, type=_Response).reason
    review = execution.review
    given = (
        None
        if review is None
        else InboxAnswer(answer=review.action, note=review.reason, by=review.by, at=review.at)
    )
    return InboxItem(
        id=execution.id,
        kind="execution",
        status=InboxStatus.WAITING if review is None else InboxStatus.ANSWERED,
        asked_by=agent,
        subject=execution.event.type,
        question=reason,
        answers=tuple(ANSWERS),
        payload=execution.payload,
        asked_at=execution.completed_at or execution.created_at,
        ended_at=None if review is None else review.at,
        answer=given,
        given=() if given is None else (given,),
    )


def _no_question(item_id: ItemId) -> NotFoundError:
    return NotFoundError(f"There is no question {item_id}.")
