"""Callers of the APIs on the SDK, that of the AVA API among them, and what every answer must have."""

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import httpx
from tests.waiting import until

from runwright import Runwright
from runwright.client.blocking import BlockingTransport
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget

AVA = "/v1/ava"
WEBHOOKS = "/v1/webhooks"
ROLES = ("tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Json = Any
"""What a body holds; which of it is right is for the tests to say."""

ECHO = "async def handler(input, env):\n    return input\n"
"""A handler that gives back what it gets."""

NO_LIMITS = httpx.Limits()


class RawParts(TypedDict, total=False):
    """What a request may have."""

    json: Json
    content: bytes | None
    params: Mapping[str, str] | None
    headers: Mapping[str, str] | None


class RawClient:
    """The SDK without a key, which sends every request once and returns the answer as it came."""

    def __init__(self, url: str, *, timeout: float = 90, limits: httpx.Limits = NO_LIMITS) -> None:
        self.url = url
        self.httpx = httpx.Client(base_url=url, trust_env=False, timeout=timeout, limits=limits)
        """What sends them; for open streams, and for what the SDK never sends: forms, headers twice or not in ASCII."""
        self._sdk = Runwright.for_target(
            ServerTarget(url=url, credentials=Credentials()),
            timeout=timeout,
            retries=0,
            transport=BlockingTransport(url, self.httpx),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sdk.close()

    def request(self, method: str, path: str, **parts: Unpack[RawParts]) -> httpx.Response:
        json = parts.get("json")
        answer = self._sdk.request(
            f"{method} {path.removeprefix(self.url)}",
            query=parts.get("params"),
            json=json,
            body=parts.get("content"),
            content_type=None if json is None else "application/json",
            headers={"accept": "*/*", **(parts.get("headers") or {})},
            check=False,
        )
        response = httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))
        response.read()
        return response

    def get(self, path: str, **parts: Unpack[RawParts]) -> httpx.Response:
        return self.request("GET", path, **parts)

    def post(self, path: str, **parts: Unpack[RawParts]) -> httpx.Response:
        return self.request("POST", path, **parts)

    def patch(self, path: str, **parts: Unpack[RawParts]) -> httpx.Response:
        return self.request("PATCH", path, **parts)

    def delete(self, path: str, **parts: Unpack[RawParts]) -> httpx.Response:
        return self.request("DELETE", path, **parts)


class Caller:
    """A caller of one of the APIs, for one tenant, in one role."""

    prefix = ""
    """That of paths which do not begin with `/v1/`."""

    def __init__(self, http: RawClient, *, key: str, tenant: str, role: str = "tenant-system-admin") -> None:
        self.http = http
        self.key = key
        self.tenant = tenant
        self.role = role

    @property
    def credential(self) -> dict[str, str]:
        raise NotImplementedError

    @property
    def headers(self) -> dict[str, str]:
        asserted = Credentials(tenant=self.tenant, user="usr_test", role=self.role)
        return self.credential | asserted.headers()

    def having(self, *, tenant: str | None = None, role: str | None = None, key: str | None = None) -> Self:
        return type(self)(
            self.http, key=key or self.key, tenant=tenant or self.tenant, role=role or self.role
        )

    def call(
        self,
        method: str,
        path: str,
        json: Json = None,
        *,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        given = {**({} if content is None else {"content-type": "application/json"}), **(headers or {})}
        response = self.http.request(
            method,
            path if path.startswith("/v1/") else self.prefix + path,
            json=json,
            content=content,
            params=params,
            headers=self.headers | given,
        )
        assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
        return response


class Api(Caller):
    """A caller of the AVA API."""

    prefix = AVA

    @property
    def credential(self) -> dict[str, str]:
        return {"x-internal-secret": self.key}

    def get(self, path: str, /, **params: str) -> httpx.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, json: Json = None, **headers: str) -> httpx.Response:
        return self.call("POST", path, json=json, headers=headers)

    def patch(self, path: str, json: Json) -> httpx.Response:
        return self.call("PATCH", path, json=json)

    def delete(self, path: str) -> httpx.Response:
        return self.call("DELETE", path)

    def make_worker(self, **fields: Json) -> Json:
        """Create a worker, by default a python one that gives back its input."""
        body = {"name": "Echo", "runtime": "python", "source_code": ECHO} | fields
        return data_of(self.post("/workers", body), 201)

    def make_job(self, worker_id: str, **fields: Json) -> Json:
        return data_of(self.post("/jobs", {"worker_id": worker_id, **fields}), 201)

    def make_schedule(self, worker_id: str, **fields: Json) -> Json:
        """Create a schedule, by default one that fires at the beginning of next year."""
        body = {"worker_id": worker_id, "cron": "0 0 1 1 *", "timezone": "Europe/Berlin"} | fields
        return data_of(self.post("/schedules", body), 201)

    def make_webhook(self, **fields: Json) -> Json:
        """Create a webhook, by default one for all events, to where nobody listens."""
        body = {"url": "https://hooks.invalid/", "events": ["*"]} | fields
        response = self.post(WEBHOOKS, body)
        assert response.status_code == 201, response.text
        return response.json()

    def await_end(self, job_id: str) -> Json:
        """Return a job once it has ended."""
        return until(lambda: data_of(self.get(f"/jobs/{job_id}")), lambda job: job["completed_at"])

    def await_start(self, job_id: str) -> Json:
        """Return a job once it is not queued any more."""
        return until(lambda: data_of(self.get(f"/jobs/{job_id}")), lambda job: job["status"] != "queued")

    def run_job(self, worker_id: str, **fields: Json) -> Json:
        """Submit a job and return it ended."""
        job = data_of(self.post("/jobs?wait=60", {"worker_id": worker_id, **fields}), 201)
        assert job["status"] in {"completed", "failed", "cancelled"}, job
        return job


def data_of(response: httpx.Response, status: int = 200) -> Json:
    """Return what a success holds, after checking its envelope."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"data"}
    return body["data"]


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return an error, after checking its shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    error = body["error"]
    assert error.keys() - {"fields", "quota"} == {"code", "message", "request_id", "docs_url"}
    assert error["code"] == code
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["docs_url"].endswith(f"#{code}")
    assert ("fields" in error) == (code == "validation_error")
    assert ("quota" in error) == (code == "quota_exceeded")
    assert "Traceback" not in response.text
    return dict(error)


def fields_of(response: httpx.Response) -> dict[str, list[str]]:
    """Return the bad fields of a 422."""
    fields = error_of(response, 422, "validation_error")["fields"]
    assert fields
    for messages in fields.values():
        assert messages
        assert all(isinstance(message, str) and message.endswith(".") for message in messages)
    return dict(fields)
