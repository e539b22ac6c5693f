"""A tenant with something on every page: workers that do well and badly, jobs in every state, a log with colours."""

from collections.abc import Mapping

from tests.contract.client import Api, Json, data_of

REPORT = """
import time
def handler(input, env, job=None):
    print("Reading the last 24 hours")
    print("\\x1b[32mok\\x1b[0m  412 orders, \\x1b[33m3 without an address\\x1b[0m")
    for step in range(input.get("steps", 3)):
        print(f"region {step + 1} of {input.get('steps', 3)}: {120 + step * 7} orders")
        time.sleep(input.get("pause", 0.02))
    return {"orders": 412, "revenue": 18250.50, "order_id": 9007199254740993,
            "regions": [{"name": "North", "orders": 120}, {"name": "South", "orders": 127}]}
"""
SLOW = """
import time
def handler(input, env, job=None):
    from runwright import job, log
    for step in range(2000):
        job.progress(min(0.62, step / 40), "Uploading part %d of 40" % (min(step, 25) + 1))
        log.info("part uploaded", part=step + 1, bytes=5242880) if step < 25 else None
        time.sleep(0.01 if step < 25 else 0.25)
"""
FAILS = """
class PaymentError(Exception):
    pass

def charge(order):
    raise PaymentError(f"The card of {order} was declined: insufficient_funds")

def handler(input, env):
    print(f"Charging {input['order']}")
    charge(input["order"])
"""
THUMBNAIL = """
export default async function handler(input) {
  console.log(`resizing ${input.image} to ${input.width} px`);
  return { image: input.image, width: input.width, bytes: 48213 };
}
"""


class World:
    """The tenant, and what is shown of it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.workers: dict[str, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.shared: dict[str, str] = {}

    def fill(self) -> None:
        """Make workers and jobs, and wait until they are in the state that they stay in."""
        report = self._worker("Nightly revenue report", REPORT, description="Sums the orders of the day")
        fails = self._worker("Charge card", FAILS, max_retries=0)
        slow = self._worker("Upload backup", SLOW, timeout_seconds=3600)
        node = self._worker(
            "Make thumbnail", THUMBNAIL, runtime="nodejs", description="Resizes uploaded images"
        )
        paused = self._worker("Sync inventory", REPORT)
        newer = REPORT.replace("the last 24 hours", "yesterday's orders")
        data_of(self.api.patch(f"/workers/{report['id']}", {"source_code": newer}))
        self._schedule(report["id"], "Every morning", "0 7 * * *")
        self._schedule(slow["id"], "Backup on Sundays", "30 3 * * 0")
        for _ in range(4):
            self.jobs["completed"] = self.api.run_job(report["id"], input={"steps": 6, "day": "2026-03-28"})
        for order in ("ord_1001", "ord_1002"):
            self.jobs["failed"] = self.api.run_job(fails["id"], input={"order": order})
        self.api.run_job(node["id"], input={"image": "cat.png", "width": 320})
        self.jobs["scheduled"] = self.api.make_job(
            report["id"], scheduled_at="2099-01-01T00:00:00Z", input={"day": "2026-03-29"}
        )
        later = self.api.make_job(paused["id"], scheduled_at="2098-01-01T00:00:00Z")
        self.jobs["cancelled"] = data_of(self.api.post(f"/jobs/{later['id']}/cancel"))
        self.jobs["queued"] = self.api.make_job(
            paused["id"], input={"warehouse": 7}, scheduled_at="2097-01-01T00:00:00Z"
        )
        data_of(self.api.patch(f"/workers/{paused['id']}", {"status": "paused"}))
        self.jobs["running"] = self.api.make_job(slow["id"], input={"bucket": "backups"})
        self._wait_for_log(self.jobs["running"]["id"], "part uploaded")
        data_of(self.api.call("PUT", "/sharing", {"enabled": True}))
        self.shared = {name: self._share(self.jobs[name]) for name in ("failed", "running")}

    def _share(self, job: Json) -> str:
        share = data_of(self.api.post(f"/jobs/{job['id']}/shares", {}), 201)
        return f"/shared#token={share['token']}"

    def _worker(self, name: str, source: str, **fields: Json) -> Json:
        made = self.api.make_worker(name=name, source_code=source, **fields)
        self.workers[name] = made
        return made

    def _schedule(self, worker_id: str, name: str, cron: str) -> None:
        self.api.make_schedule(worker_id, name=name, cron=cron)

    def _wait_for_log(self, job_id: str, text: str) -> None:
        with self.api.http.httpx.stream(
            "GET", f"/v1/ava/jobs/{job_id}/logs/stream", params={"q": text}, headers=self.api.headers
        ) as response:
            for line in response.iter_lines():
                if line.startswith("event: log"):
                    return
        raise AssertionError("The job has ended without it.")

    def end(self) -> None:
        """End what runs."""
        self.api.post(f"/jobs/{self.jobs['running']['id']}/cancel")

    def pages(self) -> Mapping[str, str]:
        """Return the address of every page, by the name of its screenshot."""
        report = self.workers["Nightly revenue report"]["id"]
        return {
            "overview": "/",
            "jobs": "/jobs",
            "job-completed": f"/jobs/{self.jobs['completed']['id']}",
            "job-data": f"/jobs/{self.jobs['completed']['id']}?tab=data",
            "job-failed": f"/jobs/{self.jobs['failed']['id']}",
            "job-running": f"/jobs/{self.jobs['running']['id']}",
            "job-queued": f"/jobs/{self.jobs['queued']['id']}",
            "workers": "/workers",
            "worker": f"/workers/{report}",
            "worker-code": f"/workers/{report}?tab=code",
            "worker-versions": f"/workers/{report}?tab=versions&version=2",
            "worker-settings": f"/workers/{report}?tab=settings",
            "worker-new": "/workers?new=1",
            "worker-deploy": f"/workers/{report}?deploy=1",
            "shared-failed": self.shared["failed"],
            "shared-running": self.shared["running"],
        }
