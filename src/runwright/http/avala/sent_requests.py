"""What webhooks and callbacks of the Avala API receive: the section `webhooks` of the OpenAPI document."""

from collections.abc import Mapping
from typing import Final

from runwright.agents.model import ACTION_EVENT, Action
from runwright.http.avala.event_names import DOCUMENTED, PREFIX
from runwright.http.event_catalogue import EVENTS
from runwright.http.openapi import Json, SentRequest
from runwright.webhooks.service import TEST_EVENT

_UID: Final[Json] = {"type": "string", "format": "uuid"}
_HEADERS: Final[Mapping[str, Json]] = {
    "X-Avala-Webhook-Signature": {
        "description": "The HMAC-SHA256 of the raw body in hex; the key is the text of the secret. It comes"
        " twice while a secret is being rotated.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
    "X-Avala-Webhook-Event": {"description": "The name of the event.", "schema": {"type": "string"}},
    "X-Avala-Webhook-Delivery": {
        "description": "The id of this delivery, the same at every attempt; of a callback the execution.",
        "schema": _UID,
    },
}
_ANSWERS: Final[Mapping[str, Json]] = {
    "2XX": {"description": "It was received."},
    "410": {"description": "Nothing more is sent."},
    "default": {"description": "It is sent again later."},
}
_DECISION: Final[Json] = {
    "type": "object",
    "properties": {
        "action": {"enum": sorted(Action)},
        "reason": {"type": ["string", "null"]},
        "metadata": {"type": ["object", "null"]},
    },
}
_DECIDED: Final[Json] = {
    "description": "With an `action` it is the agent's decision; otherwise the agent decides later.",
    "content": {"application/json": {"schema": _DECISION}},
}


def _sent(summary: str, description: str, **properties: Json) -> SentRequest:
    body = {"type": "object", "required": list(properties), "properties": properties}
    return SentRequest(
        summary=summary,
        description=description,
        body=body,
        headers=dict(_HEADERS),
        answers=dict(_ANSWERS),
    )


def _callback() -> SentRequest:
    sent = _sent(
        "Callback of an agent",
        "Sent to the `callback_url` of an agent: the payload of the event, its name, and the execution.",
        event={"type": "string"},
        execution_uid=_UID,
    )
    sent.answers["2XX"] = _DECIDED
    return sent


SENT_REQUESTS: Final[dict[str, SentRequest]] = {
    **{one: _sent(one, "What was published, unchanged.") for one in (*DOCUMENTED, "custom")},
    **{
        PREFIX + one: _sent(
            one, "The fields of what it is about, and the name.", event={"const": PREFIX + one}
        )
        for one in EVENTS
    },
    ACTION_EVENT: _sent(
        "Agent action",
        "An agent, or a person, decided.",
        event={"const": ACTION_EVENT},
        execution=_UID,
        registration=_UID,
        action={"enum": sorted(Action)},
    ),
    TEST_EVENT: _sent(
        "Webhook test",
        "A test of the webhook.",
        event={"const": TEST_EVENT},
        webhook_uid=_UID,
        message={"type": "string"},
    ),
    "agent.callback": _callback(),
}
