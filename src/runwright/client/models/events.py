"""Events of the tenant's log, what a stream brings, and the inbox."""

from datetime import datetime
from typing import Any, TypedDict

import msgspec

from runwright.client.models.base import Info
from runwright.client.models.jobs import ProgressInfo
from runwright.client.moments import Moment


class EventInfo(Info, frozen=True, kw_only=True):
    """An event; its data is left out of lists and streams where it is large (`data_omitted`)."""

    id: str
    type: str
    subject_id: str = ""
    worker_id: str | None = None
    created_at: datetime
    data: Any = None
    data_omitted: bool = False
    executions: int | None = None
    """How many agents get it; of an event that was just published."""


class StreamHint(Info, frozen=True, kw_only=True):
    """What a stream brings of a running job that is no event of the log."""

    subject_id: str
    worker_id: str
    progress: ProgressInfo | None = None


class StreamEntry(Info, frozen=True, kw_only=True):
    """What a stream brings.

    `kind` is `open` when all that happens from then on will come; `event`, with an `event`; `log` where a job
    has written lines; `progress`, with the `progress` that a job reports; or `gone`: the stream could not
    continue where it was, so what is shown has to be read again.
    """

    kind: str
    event: EventInfo | None = None
    progress: ProgressInfo | None = None
    subject_id: str = ""
    worker_id: str | None = None


class InboxAnswerInfo(Info, frozen=True, kw_only=True):
    """What a person has answered, or (`timed_out`) the default in its place."""

    answer: str
    note: str | None = None
    by: str | None = None
    at: datetime
    timed_out: bool = False


class InboxInfo(Info, frozen=True, kw_only=True):
    """A question to a person."""

    id: str
    kind: str
    status: str
    """`waiting`, or how it ended: `answered`, `timed_out` or `withdrawn`."""
    asked_by: str
    subject: str
    question: str | None = None
    answers: list[str] = msgspec.field(default_factory=list)
    payload: Any = None
    payload_omitted: bool = False
    job_id: str | None = None
    role: str = ""
    user_ids: list[str] = msgspec.field(default_factory=list)
    quorum: int = 1
    four_eyes: bool = False
    sensitive: bool = False
    asked_at: datetime
    deadline: datetime | None = None
    default: str | None = None
    escalate_at: datetime | None = None
    escalated_at: datetime | None = None
    ended_at: datetime | None = None
    answer: InboxAnswerInfo | None = None
    given: list[InboxAnswerInfo] = msgspec.field(default_factory=list)


class QuestionLinkInfo(Info, frozen=True, kw_only=True):
    """A link with which a user answers a question, once."""

    id: str
    question_id: str
    user_id: str
    created_at: datetime
    expires_at: datetime
    url: str
    token: str


class AudienceOptions(TypedDict, total=False):
    """Who may answer a question: everyone of a role, or the users that are named."""

    role: str
    user_ids: list[str]


class AskOptions(AudienceOptions, total=False):
    """Who may answer a question, how many must agree, and until when."""

    subject: str
    answers: list[str]
    quorum: int
    four_eyes: bool
    sensitive: bool
    job_id: str
    timeout_seconds: int
    default: str
    escalate_after_seconds: int
    escalate_to: AudienceOptions


class EventListOptions(TypedDict, total=False):
    """Which events to list: types and subjects with commas between them."""

    type: str
    subject_id: str
    since: Moment
    until: Moment
    per_page: int


class StreamOptions(TypedDict, total=False):
    """Which events to follow: types and subjects with commas between them, one worker by its id."""

    type: str
    subject_id: str
    worker_id: str
