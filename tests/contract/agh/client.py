"""A caller of the AGH API, and what every answer must have."""

import httpx
from tests.contract.client import Caller, Json

JOBS = "/api/automation/jobs"
TRIGGERS = "/api/automation/triggers"
RUNS = "/api/automation/runs"
EVENTS = "/api/automation/events"
TASKS = "/api/tasks"
JSON = "application/json; charset=utf-8"
NEVER = {"mode": "cron", "expr": "0 0 29 2 *"}


class Agh(Caller):
    """A caller of the AGH API."""

    _names = 0

    @property
    def credential(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

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
        response = self.call("POST", "/v1/ava/workers", body)
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
