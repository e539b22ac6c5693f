"""What a handler has of its job, in each runtime, from the deploy to what the API shows."""

from typing import Final

import pytest
from tests.contract.client import Api, data_of

JAVASCRIPT: Final = """
  log.info('fetched', { rows: 12, token: env.TOKEN })
  job.progress(0.5, 'pages')
  await job.set('cursor', { by: job.worker.name, was: await job.get('cursor') })
  await job.emit('custom.counted', { rows: 12 })
  const refused = await job.set('token', env.TOKEN).catch((error) => error.code)
  return { id: job.id, child: await job.start('Echo', { of: job.id }, { key: 'only' }), refused }
}
"""
SOURCES: Final = {
    "python": """
from runwright import job, log, JobCallError
def handler(input, env):
    log.info("fetched", rows=12, token=env["TOKEN"])
    job.progress(0.5, "pages")
    job.set("cursor", {"by": job.worker.name, "was": job.get("cursor")})
    job.emit("custom.counted", {"rows": 12})
    try:
        refused = job.set("token", env["TOKEN"])
    except JobCallError as error:
        refused = error.code
    return {"id": job.id, "child": job.start("Echo", {"of": job.id}, key="only"), "refused": refused}
""",
    "nodejs": "module.exports = async ({ env, job, log }) => {" + JAVASCRIPT,
    "deno": "export default async ({ env, job, log }: any) => {"
    + JAVASCRIPT.replace("(error)", "(error: any)"),
    "shell": """
rw log info fetched rows=12 token="$TOKEN"
rw progress 0.5 pages
was=$(rw get cursor || echo null)
rw set cursor "$(printf '{"by": "%s", "was": %s}' "$RUNWRIGHT_WORKER" "$was")"
rw emit custom.counted '{"rows": 12}' > /dev/null
rw set token "$TOKEN" 2> /dev/null || refused=secret
child=$(rw start Echo "$(printf '{"of": "%s"}' "$RUNWRIGHT_JOB_ID")" --key only)
printf '{"id": "%s", "child": "%s", "refused": "%s"}' "$RUNWRIGHT_JOB_ID" "$child" "$refused"
""",
}


@pytest.mark.parametrize("runtime", SOURCES)
def test_a_handler_reports_keeps_publishes_and_starts(api: Api, runtime: str) -> None:
    api.make_worker()
    assert api.call("PUT", "/secrets/TOKEN", json={"value": "a secret of some length"}).status_code == 201
    worker = api.make_worker(name="user", runtime=runtime, source_code=SOURCES[runtime], secrets=["TOKEN"])
    job = api.run_job(worker["id"])
    assert job["status"] == "completed", job
    assert (job["output"]["id"], job["output"]["refused"]) == (job["id"], "secret")
    assert (job["progress"]["fraction"], job["progress"]["message"]) == (0.5, "pages")
    [line] = data_of(api.get(f"/jobs/{job['id']}/logs", q="rows=12"))["logs"]
    assert (line["msg"], line["fields"]) == ("fetched", {"rows": 12, "token": "***"})
    [value] = data_of(api.get(f"/workers/{worker['id']}/state"))
    assert (value["key"], value["value"]) == ("cursor", {"by": "user", "was": None})
    [child] = api.get("/jobs", **{"filter[parent_job_id]": job["id"]}).json()["data"]
    assert (child["id"], child["input"]) == (job["output"]["child"], {"of": job["id"]})
    events = api.get("/events", **{"filter[type]": "custom.counted"}).json()["data"]
    assert [event["data"] for event in events] == [{"rows": 12}]
