"""Create the example workers over HTTP, trigger them, and show the results."""

import asyncio
import json
import shlex
from importlib import resources
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape

from runwright.client import ClientError, Runwright
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.core.clock import system_clock
from runwright.db.availability import DatabaseAwayError
from runwright.db.pool import Database
from runwright.demo.contents import Contents
from runwright.demo.history import write_sample_day

TENANT: Final = "ten_demo"
_USER: Final = "usr_demo"
_ROLE: Final = "tenant-system-admin"
_WAIT_SECONDS: Final = 30


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


async def run_demo(base_url: str, *, platform_key: str, shown_key: str, db: Database) -> None:
    """Run every example against a server that is ready; `shown_key` replaces the key in the curl lines.

    Fills the tenant the first time, with a day of sample jobs by way of the database. What an earlier
    demonstration has made is reused. Failures are printed, not raised, so that the server keeps running.
    """
    credentials = Credentials(api_key=platform_key, tenant=TENANT, user=_USER, role=_ROLE)
    server = Runwright.for_target(ServerTarget(url=base_url, credentials=credentials))
    demo = _Demo(server, shown_key)
    try:
        await asyncio.to_thread(demo.run_examples)
        workers = await asyncio.to_thread(Contents(server).fill)
        if workers:
            jobs = await write_sample_day(db, tenant_id=TENANT, workers=workers, now=system_clock())
            demo.show_contents(jobs)
        await asyncio.to_thread(demo.show_addresses)
    except (ClientError, DatabaseAwayError) as error:
        demo.console.print(f"[red]The demonstration failed:[/red] {escape(str(error))}")


class _Demo:
    def __init__(self, server: Runwright, shown_key: str) -> None:
        self.console = Console(highlight=False)
        self._server = server
        self._shown_headers = {
            "x-internal-secret": shown_key,
            "x-tenant-id": TENANT,
            "x-user-id": _USER,
            "x-platform-role": _ROLE,
        }

    def run_examples(self) -> None:
        """Run the examples in order, and show them."""
        for example in EXAMPLES:
            self._run(example)

    def show_contents(self, samples: int) -> None:
        """Show what the tenant was filled with."""
        self.console.rule("A shop to look at")
        self.console.print("More workers, schedules, an agent, automations and webhooks were made.")
        self.console.print(f"{samples:,} jobs of the last 24 hours are samples: they did not run.")

    def show_addresses(self) -> None:
        """Show where everything is."""
        self.console.rule("Serving")
        link = self._server.keys.create_sign_in_link()
        later = f"runwright open --tenant {TENANT}"
        self.console.print(f"[bold]Dashboard[/bold]     {link.url}", soft_wrap=True)
        self.console.print(f"              once, for five minutes; another: {later}")
        self.console.print(f"Command line  runwright jobs list --tenant {TENANT}", soft_wrap=True)
        self.console.print("              shows these jobs; without --tenant you have a place of your own")
        self.console.print(f"API           {self._server.url}/v1/ava/docs")
        self.console.print(f"Documentation {self._server.url}/docs/")
        self.console.print("Stop with Ctrl-C.")

    def _run(self, example: Example) -> None:
        self.console.rule(f"[bold]{example.worker['name']}[/bold] ({example.worker['runtime']})")
        self._set_secrets(example.secrets)
        worker_id = self._worker(example)
        body = {"worker_id": worker_id, **example.job}
        self._print_curl("POST", "/v1/ava/jobs", body)
        with self.console.status("Running …"):
            job = self._server.jobs.run(worker_id, wait=_WAIT_SECONDS, **example.job)
        self._print(json.dumps(json.loads(job.raw), indent=2, ensure_ascii=False))
        self._print_curl("GET", f"/v1/ava/jobs/{job.id}/logs")
        for line in self._server.jobs.logs(job.id):
            self._print(f"  {line.ts:%H:%M:%S} {line.level:5} {line.msg}")

    def _set_secrets(self, secrets: dict[str, str]) -> None:
        """Set the secrets that do not exist yet; existing values are unchanged."""
        known = {secret.name for secret in self._server.secrets.list()}
        for name, value in secrets.items():
            if name not in known:
                self._print_curl("PUT", f"/v1/ava/secrets/{name}", {"value": value})
                self._server.secrets.set(name, value)

    def _worker(self, example: Example) -> str:
        """Return the id of the example's worker, created now or by an earlier demonstration."""
        source = resources.files(__package__).joinpath(example.source).read_text()
        for worker in self._server.workers.list(status="active", payloads=False):
            if worker.name == example.worker["name"] and worker.source_code == source:
                return worker.id
        return self._server.workers.create(**example.worker, source_code=source).id

    def _print_curl(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        typed = {} if body is None else {"content-type": "application/json"}
        lines = [f"curl -X {method} {self._server.url}{path}"]
        lines += [f'  -H "{name}: {value}"' for name, value in (self._shown_headers | typed).items()]
        if body is not None:
            lines.append(f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
        self._print(" \\\n".join(lines), style="cyan")

    def _print(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)
