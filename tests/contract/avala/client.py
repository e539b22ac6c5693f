"""A caller of the Avala API, and what every answer must have."""

import re
from typing import Any

import httpx
from tests.contract.client import Caller, Json
from tests.waiting import until

AVALA = "/api/v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

UNAUTHORIZED = "Invalid API key."
FORBIDDEN = "You do not have permission to perform this action."
NOT_FOUND = "Not found."
REQUIRED = "This field is required."
WAIT_SECONDS = 60.0
NOBODY = "00000000-0000-4000-8000-000000000000"
"""The UUID of nothing."""


class Avala(Caller):
    """A caller of the Avala API, by way of the platform key."""

    prefix = AVALA

    @property
    def credential(self) -> dict[str, str]:
        return {"X-Avala-Api-Key": self.key}

    def call(self, *args: Any, **parts: Any) -> httpx.Response:  # noqa: ANN401  as `Caller.call`
        response = super().call(*args, **parts)
        assert response.status_code // 100 != 3
        if response.status_code == 204:
            assert response.content == b""
        else:
            assert response.headers["content-type"] == "application/json"
        return response

    def get(self, path: str, **params: str) -> Json:
        return good(self.call("GET", path, params=params))

    def post(self, path: str, json: Json = None, status: int = 200) -> Json:
        return good(self.call("POST", path, json), status)

    def patch(self, path: str, json: Json) -> Json:
        return good(self.call("PATCH", path, json))

    def delete(self, path: str) -> None:
        assert self.call("DELETE", path).status_code == 204

    def make_agent(self, **fields: Json) -> Json:
        """Register an agent, by default one for new results."""
        response = self.call("POST", "/agents/", {"name": "QC", "events": ["result.submitted"]} | fields)
        assert response.status_code in {200, 201}, response.text
        return response.json()

    def publish(self, event: str = "result.submitted", **payload: Json) -> Json:
        return self.post("/events/", {"event": event, "payload": payload}, 201)

    def executions(self, agent: Json, **query: str) -> list[Json]:
        found: list[Json] = self.get(f"/agents/{agent['uid']}/executions/", **query)["results"]
        return found

    def await_executions(self, agent: Json, count: int, **query: str) -> list[Json]:
        """Return the agent's executions once there are that many."""
        found = until(lambda: self.executions(agent, **query), lambda now: len(now) >= count)
        assert len(found) == count
        return found

    def act(self, execution: Json, action: str, **more: Json) -> httpx.Response:
        return self.call("POST", "/agent-actions/", {"execution": execution["uid"], "action": action, **more})

    def make_webhook(self, **fields: Json) -> Json:
        """Create a webhook, by default one to where nobody listens."""
        body = {"target_url": "https://hooks.invalid/", "events": ["result.submitted"]} | fields
        return self.post("/webhooks/", body, 201)


def good(response: httpx.Response, status: int = 200) -> Json:
    assert response.status_code == status, response.text
    return response.json()


def refused(response: httpx.Response, status: int, detail: str) -> None:
    """The answer is no success and says so in one sentence."""
    assert (response.status_code, response.json()) == (status, {"detail": detail})


def bad_fields(response: httpx.Response) -> dict[str, list[str]]:
    """Return the bad fields of a 400: flat, with a list of messages for each."""
    assert response.status_code == 400, response.text
    fields: dict[str, list[str]] = response.json()
    assert fields
    for name, messages in fields.items():
        assert "." not in name
        assert messages
        for message in messages:
            assert message.strip()
    return fields


def cursor_of(link: str) -> dict[str, str]:
    """What a client lifts out of a link to another page, and its limit."""
    params = httpx.URL(link).params
    return {name: params[name] for name in ("cursor", "limit") if name in params}
