"""A caller of the AGH API, and what every answer must have."""

from typing import Any, Self

import httpx

JOBS = "/api/automation/jobs"
TRIGGERS = "/api/automation/triggers"
RUNS = "/api/automation/runs"
EVENTS = "/api/automation/events"
TASKS = "/api/tasks"
JSON = "application/json; charset=utf-8"
NEVER = {"mode": "cron", "expr": "0 0 29 2 *"}

Json = Any
"""What a body holds; which of it is right is for the tests to say."""


class Agh:
    """One tenant's caller in one role."""

    def __init__(
        self, http: httpx.Client, *, key: str, tenant: str, role: str = "tenant-system-admin"
    ) -> None:
        self.http = http
        self.key = key
        self.tenant = tenant
        self.role = role
        self._names = 0

    @property
    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.key}",
            "x-tenant-id": self.tenant,
            "x-user-id": "usr_test",
            "x-platform-role": self.role,
        }

    def having(self, *, tenant: str | None = None, role: str | None = None) -> Self:
        return type(self)(self.http, key=self.key, tenant=tenant or self.tenant, role=role or self.role)

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        return self.http.request(
            method, path, json=json, content=content, params=params, headers=self.headers | (headers or {})
        )

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, json: Json = None, **params: str) -> httpx.Response:
        return self.call("POST", path, json=json, params=params)

    def patch(self, path: str, json: Json) -> httpx.Response:
        return self.call("PATCH", path, json=json)

    def delete(self, path: str) -> httpx.Response:
        return self.call("DELETE", path)

    def job_body(self, **fields: Json) -> Json:
        self._names += 1
        body = {
            "scope": "global",
            "name": f"job {self._names:03}",
            "agent_name": "echo",
            "prompt": "do it",
            "schedule": NEVER,
        }
        return _without_none(body | fields)

    def trigger_body(self, **fields: Json) -> Json:
        self._names += 1
        body = {
            "scope": "global",
            "name": f"trigger {self._names:03}",
            "agent_name": "echo",
            "prompt": "see {{ .Data.what }}",
            "event": "custom.happened",
        }
        return _without_none(body | fields)

    def make_job(self, **fields: Json) -> Json:
        return self.made(self.post(JOBS, self.job_body(**fields)), "job")

    def make_trigger(self, **fields: Json) -> Json:
        return self.made(self.post(TRIGGERS, self.trigger_body(**fields)), "trigger")

    def make_webhook_trigger(self, **fields: Json) -> Json:
        mine: dict[str, Json] = {
            "event": "webhook",
            "endpoint_slug": "deploy",
            "webhook_secret_value": "a-secret-value",
        }
        return self.make_trigger(**mine | fields)

    def made(self, response: httpx.Response, what: str) -> Json:
        return answer(response, 201)[what]

    def make_agent(self, name: str = "echo", *, code: str = "return input") -> Json:
        """Make a worker that automations can name."""
        body = {
            "name": name,
            "runtime": "python",
            "source_code": f"async def handler(input, env):\n    {code}\n",
        }
        response = self.http.post("/v1/ava/workers", json=body, headers=self.headers)
        assert response.status_code == 201, response.text
        return response.json()["data"]

    def run(self, job_id: str, wait: int = 60) -> Json:
        """Trigger a job and return its run when it has ended."""
        return answer(self.post(f"{JOBS}/{job_id}/trigger", wait=str(wait)))["run"]


def _without_none(body: dict[str, Json]) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def answer(response: httpx.Response, status: int = 200) -> Json:
    """Return what a success holds."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == JSON
    return response.json()


def refused(response: httpx.Response, status: int, *parts: str) -> str:
    """Return the message of an error, which holds these parts, after checking its shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == JSON
    body = response.json()
    assert body.keys() == {"error"}
    for part in parts:
        assert part in body["error"], body["error"]
    return str(body["error"])


def invalid(response: httpx.Response, message: str) -> None:
    """The request was refused with this message, and nothing else."""
    assert refused(response, 400) == f"automation validation error: {message}"
