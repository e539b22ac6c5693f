"""What AVA's webhooks receive, for the section `webhooks` of the OpenAPI document."""

from collections.abc import Mapping
from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT, Action
from runwright.automations.model import ENDED
from runwright.core.job_state import TERMINAL
from runwright.http.ava.jobs.schemas import JobRecordOut
from runwright.http.ava.webhooks.event_names import PREFIX
from runwright.http.ava.webhooks.payloads import ScheduleEventData, TestData
from runwright.http.ava.workers.schemas import WorkerOut
from runwright.http.event_catalogue import EVENTS
from runwright.http.openapi import REFERENCE, Json, SentRequest
from runwright.questions.model import QuestionStatus
from runwright.webhooks.service import TEST_EVENT

SENT_TYPES: Final = (JobRecordOut, WorkerOut, ScheduleEventData, TestData)

_TEXT: Final[Json] = {"type": "string"}
_TEXT_OR_NULL: Final[Json] = {"type": ["string", "null"]}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_ID: Final[Json] = {"type": "string", "pattern": "^evt_[0-9a-z]{26}$"}

_HEADERS: Final[Mapping[str, Json]] = {
    "X-HLD-Signature-256": {
        "description": "`sha256=` and the HMAC-SHA256 of the raw body in hex; the key is the text of the"
        " secret. It comes twice while a secret is being rotated.",
        "schema": {"type": "string", "pattern": "^sha256=[0-9a-f]{64}$"},
    },
    "webhook-id": {"description": "The id of the event, the same at every attempt.", "schema": _ID},
    "webhook-timestamp": {
        "description": "The time of this attempt, in seconds since 1970.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "webhook-signature": {
        "description": "`v1,` and the HMAC-SHA256 of `<id>.<timestamp>.<body>` in base64, as Standard"
        " Webhooks has it; several while a secret is being rotated, separated by spaces.",
        "schema": {"type": "string", "pattern": "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$"},
    },
}
_ANSWERS: Final[Mapping[str, Json]] = {
    "2XX": {"description": "The event was received: within 10 seconds; the body is not read."},
    "410": {"description": "Nothing more is sent until a test succeeds or the webhook is set to `active`."},
    "default": {"description": "The event is sent again: five times, within some three hours."},
}

_RUN: Final[Json] = {
    "type": "object",
    "description": "The run; its automation is `job_id` or `trigger_id`.",
    "required": ["run_id", "name", "agent_name", "status", "attempt", "started_at", "ended_at"],
    "properties": {
        **dict.fromkeys(("run_id", "job_id", "trigger_id", "name", "agent_name", "workspace_id"), _TEXT),
        "status": {"enum": sorted(ENDED)},
        "attempt": {"type": "integer"},
        **dict.fromkeys(("session_id", "error"), _TEXT_OR_NULL),
        **dict.fromkeys(("started_at", "ended_at"), _TIME),
        "answer": {"description": "What the agent returned."},
        "answer_omitted": {"type": "boolean", "description": "Whether it is too large to be sent."},
    },
}
_ACTION: Final[Json] = {
    "type": "object",
    "required": ["execution_id", "agent_id", "agent", "event", "action"],
    "properties": {
        **dict.fromkeys(("execution_id", "agent_id", "agent", "event", "decided_by"), _TEXT),
        "action": {"enum": sorted(Action)},
        "reason": _TEXT_OR_NULL,
        "metadata": {"type": ["object", "null"]},
    },
}
_QUESTION: Final[Json] = {
    "type": "object",
    "required": ["question_id", "status", "asked_by", "subject", "question", "answer", "timed_out"],
    "properties": {
        **dict.fromkeys(("question_id", "asked_by", "subject", "question"), _TEXT),
        "status": {"enum": sorted(QuestionStatus)},
        **dict.fromkeys(("job_id", "answer", "answered_by", "note"), _TEXT_OR_NULL),
        "timed_out": {"type": "boolean", "description": "Whether the answer is the default."},
    },
}


def _reference(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def _data_of(event: str) -> Json:
    family = event.partition(".")[0]
    return {
        "job": _reference(JobRecordOut),
        "worker": _reference(WorkerOut),
        "schedule": _reference(ScheduleEventData),
        "question": _QUESTION,
        "automation": _RUN,
    }[family]


def _sent(name: Json, summary: str, description: str, data: Json) -> SentRequest:
    """Return the request of an event; `name` is the schema of its type."""
    properties = {"id": _ID, "type": name, "created_at": _TIME, "tenant_id": _TEXT, "data": data}
    body = {"type": "object", "required": list(properties), "properties": properties}
    return SentRequest(
        summary=summary,
        description=description,
        body=body,
        headers=dict(_HEADERS),
        answers=dict(_ANSWERS),
    )


def _described(event: str) -> tuple[str, str]:
    family, _, what = event.partition(".")
    summary = f"{family.title()} {what.replace('.', ' ')}"
    last = event.rpartition(".")[2]
    return summary, "The job has ended." if family == "job" and last in TERMINAL else f"{summary}."


SENT_REQUESTS: Final[dict[str, SentRequest]] = {
    **{PREFIX + one: _sent({"const": PREFIX + one}, *_described(one), _data_of(one)) for one in EVENTS},
    PREFIX + ACTION_EVENT: _sent(
        {"const": PREFIX + ACTION_EVENT}, "Agent action", "An agent, or a person, decided.", _ACTION
    ),
    PREFIX + TEST_EVENT: _sent(
        {"const": PREFIX + TEST_EVENT}, "Webhook test", "A test of the webhook.", _reference(TestData)
    ),
    "custom": _sent(
        {"type": "string", "pattern": r"^custom\."},
        "An event of your own",
        "What a tenant, an agent, an automation or a job has published; `data` is its payload.",
        {"type": "object"},
    ),
}
