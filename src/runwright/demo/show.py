"""Create the example workers over HTTP, trigger them, and show the results."""

import asyncio
import json
import shlex
from importlib import resources
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
from rich.console import Console

TENANT: Final = "ten_demo"
_WAIT_SECONDS: Final = 30
_TIMEOUT_SECONDS: Final = 60.0


class Example(msgspec.Struct, frozen=True):
    """A worker of the vendor's documentation with the request that triggers it."""

    source: str
    worker: dict[str, Any]
    job: dict[str, Any]
    secrets: dict[str, str] = {}
    """Secrets to set first, unless the tenant has them."""


EXAMPLES: Final = (
    Example(
        "daily_security_digest.js",
        {
            "name": "Daily security digest",
            "runtime": "nodejs",
            "description": "Fetches open Sentinel incidents and sends a Slack digest",
            "timeout_seconds": 60,
            "max_retries": 2,
        },
        {"input": {"channel": "#security-ops"}},
    ),
    Example(
        "incident_enrichment_pipeline.py",
        {
            "name": "Incident enrichment pipeline",
            "runtime": "python",
            "description": "Pulls threat intel for new critical incidents"
            " and posts enriched summary to Slack",
            "timeout_seconds": 120,
            "max_retries": 1,
            "config": {"SLACK_CHANNEL": "#security-ops", "MIN_SEVERITY": "high"},
            "secrets": ["SLACK_BOT_TOKEN", "VIRUSTOTAL_API_KEY"],
        },
        {"priority": 2, "input": {"incident_id": "inc_01hxyz", "channel": "#security-ops"}},
        {
            "SLACK_BOT_TOKEN": "a-token-for-the-demonstration",
            "VIRUSTOTAL_API_KEY": "another-one-for-the-demonstration",
        },
    ),
)


async def run_demo(base_url: str, *, platform_key: str, shown_key: str) -> None:
    """Run every example against a server that is ready; `shown_key` replaces the key in the curl lines.

    Workers of an earlier demonstration are reused. Failures are printed, not raised, so that the server
    keeps running.
    """
    demo = _Demo(base_url, platform_key, shown_key)
    try:
        await asyncio.to_thread(demo.show)
    except (OSError, ValueError) as error:
        demo.console.print(f"[red]The demonstration failed:[/red] {error}")


class _Demo:
    def __init__(self, base_url: str, platform_key: str, shown_key: str) -> None:
        self.console = Console(highlight=False)
        self._base_url = base_url
        self._headers = {
            "x-internal-secret": platform_key,
            "x-tenant-id": TENANT,
            "x-user-id": "usr_demo",
            "x-platform-role": "tenant-system-admin",
            "Content-Type": "application/json",
        }
        self._shown_headers = {**self._headers, "x-internal-secret": shown_key}

    def show(self) -> None:
        """Run the examples in order."""
        for example in EXAMPLES:
            self._run(example)
        self.console.rule("Serving")
        self.console.print(f"API           {self._base_url}/v1/ava")
        self.console.print(f"Documentation {self._base_url}/v1/ava/docs")
        self.console.print("Stop with Ctrl-C.")

    def _run(self, example: Example) -> None:
        self.console.rule(f"[bold]{example.worker['name']}[/bold] ({example.worker['runtime']})")
        self._set_secrets(example.secrets)
        worker_id = self._worker(example)
        body = {"worker_id": worker_id, **example.job}
        self._print_curl("POST", "/v1/ava/jobs", body)
        with self.console.status("Running …"):
            job = self._call("POST", f"/v1/ava/jobs?wait={_WAIT_SECONDS}", body)
        self.console.print(json.dumps(job, indent=2, ensure_ascii=False), markup=False, soft_wrap=True)
        path = f"/v1/ava/jobs/{job['id']}/logs"
        self._print_curl("GET", path)
        for line in self._call("GET", path)["logs"]:
            self.console.print(
                f"  {line['ts']} {line['level']:5} {line['msg']}", markup=False, soft_wrap=True
            )

    def _set_secrets(self, secrets: dict[str, str]) -> None:
        """Set the secrets that do not exist yet; existing values are unchanged."""
        known = {secret["name"] for secret in self._call("GET", "/v1/ava/secrets?per_page=100")}
        for name, value in secrets.items():
            if name not in known:
                self._print_curl("PUT", f"/v1/ava/secrets/{name}", {"value": value})
                self._call("PUT", f"/v1/ava/secrets/{name}", {"value": value})

    def _worker(self, example: Example) -> str:
        """Return the id of the example's worker, created now or by an earlier demonstration."""
        source = resources.files(__package__).joinpath(example.source).read_text()
        for worker in self._call("GET", "/v1/ava/workers?per_page=100&filter[status]=active"):
            if worker["name"] == example.worker["name"] and worker["source_code"] == source:
                return str(worker["id"])
        body = {**example.worker, "source_code": source}
        return str(self._call("POST", "/v1/ava/workers", body)["id"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  JSON
        request = Request(  # noqa: S310  the scheme is ours
            self._base_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310  the scheme is ours
                return json.load(response)["data"]
        except HTTPError as error:
            message = f"{method} {path}: {error.code} {error.read().decode(errors='replace')}"
            raise OSError(message) from error

    def _print_curl(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        lines = [f"curl -X {method} {self._base_url}{path}"]
        for name, value in self._shown_headers.items():
            if body is not None or name != "Content-Type":
                lines.append(f'  -H "{name}: {value}"')
        if body is not None:
            lines.append(f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
        self.console.print(" \\\n".join(lines), style="cyan", markup=False, soft_wrap=True)
