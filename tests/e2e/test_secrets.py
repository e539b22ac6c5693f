"""A secret's way from the vault through a job, in every runtime, and nowhere else."""

import base64
import hashlib
import json
import urllib.parse
from typing import Any, Final

import pytest
from tests.contract.client import Api, data_of
from tests.waiting import until

SECRET: Final = "s3cr3t/välue+of \"a' worker & <more>"
SOURCES: Final = {
    "python": """
import base64, hashlib, json, os, subprocess, urllib.parse
def handler(input, env):
    secret = env["TOKEN"]
    for text in (secret, urllib.parse.quote(secret), json.dumps(secret), base64.b64encode(f"me:{secret}".encode()).decode()):
        print("said", text)
        subprocess.run(["printf", "said %s\\n", text])
    os.write(1, secret.encode())
    if input.get("fail"):
        raise RuntimeError(f"no entry with {secret}")
    return {"digest": hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest(), "said": [secret], secret: 1}
""",
    "nodejs": """
const { createHash } = require('node:crypto')
module.exports = async ({ input, env }) => {
  const secret = env.TOKEN
  for (const text of [secret, encodeURIComponent(secret), JSON.stringify({ secret }), Buffer.from(`me:${secret}`).toString('base64'), Buffer.from(secret)]) {
    console.log('said', text)
  }
  if (input.fail) throw new Error(`no entry with ${secret}`)
  return { digest: createHash('sha256').update(process.env.TOKEN).digest('hex'), said: [secret], [secret]: 1 }
}
""",
    "deno": """
import { createHash } from 'node:crypto'
export default async ({ input, env }: { input: any, env: Record<string, string> }) => {
  const secret: string = env.TOKEN
  for (const text of [secret, encodeURIComponent(secret), JSON.stringify({ secret }), escape(secret)]) console.log('said', text)
  if (input.fail) throw new Error(`no entry with ${secret}`)
  return { digest: createHash('sha256').update(secret).digest('hex'), said: [secret], [secret]: 1 }
}
""",
    "shell": """
echo "said $TOKEN"
printf 'said %s\\n' "$TOKEN" >&2
printf '%s' "me:$TOKEN" | base64 -w0
if grep -q fail; then echo "no entry with $TOKEN" >&2; exit 1; fi
printf '{"digest": "%s", "said": "me:%s"}' "$(printf %s "$TOKEN" | sha256sum | cut -d' ' -f1)" \
  "$(printf %s "$TOKEN" | base64 -w0)" > "$AVA_OUTPUT"
""",
}
FORMS: Final = (
    SECRET,
    urllib.parse.quote(SECRET),
    urllib.parse.quote_plus(SECRET),
    json.dumps(SECRET)[1:-1],
    json.dumps(json.dumps(SECRET))[3:-3],
    base64.b64encode(f"me:{SECRET}".encode()).decode()[4:-4],
    base64.b64encode(SECRET.encode()).decode()[:-4],
    SECRET.encode().hex(),
    SECRET.encode()[:12].hex(" "),
    "s3cr3t",
    "more>",
    "worker & <",
)


def all_that_is_told(api: Api, job: dict[str, Any]) -> str:
    """Every answer of the API about a job, as text and as what its JSON says."""
    answers = [
        api.get(f"/jobs/{job['id']}"),
        api.get(f"/jobs/{job['id']}/logs", limit="500"),
        api.get(f"/jobs/{job['id']}/attempts"),
        api.get(f"/jobs/{job['id']}/explain"),
        api.get("/jobs"),
        api.get(f"/workers/{job['worker_id']}"),
        api.get("/secrets"),
    ]
    assert all(answer.status_code == 200 for answer in answers)
    return "\n".join(
        text for answer in answers for text in (answer.text, json.dumps(answer.json(), ensure_ascii=False))
    )


def put(api: Api, name: str, value: str) -> None:
    response = api.call("PUT", f"/secrets/{name}", json={"value": value})
    assert response.status_code in {200, 201}, response.text


@pytest.mark.parametrize("runtime", list(SOURCES))
def test_a_worker_uses_a_secret_that_nobody_gets_to_see(api: Api, runtime: str) -> None:
    put(api, "TOKEN", SECRET)
    worker = api.make_worker(runtime=runtime, source_code=SOURCES[runtime], secrets=["TOKEN"])
    job = api.run_job(worker["id"])
    assert job["status"] == "completed", job
    assert job["output"]["digest"] == hashlib.sha256(SECRET.encode()).hexdigest()
    failed = api.run_job(worker["id"], input={"fail": True})
    assert failed["error"]["code"] == "handler_error"
    assert "no entry with ***" in failed["error"]["message"]
    for one in (job, failed):
        told = all_that_is_told(api, one)
        assert "said ***" in told
        assert not [form for form in FORMS if form in told]


def test_a_new_value_is_in_force_for_the_next_job(api: Api) -> None:
    source = "import hashlib\ndef handler(input, env):\n    return hashlib.sha256(env['TOKEN'].encode()).hexdigest()\n"
    worker = None
    for n in range(5):
        put(api, "TOKEN", f"value number {n}")
        worker = worker or api.make_worker(source_code=source, secrets=["TOKEN"])
        job = api.run_job(worker["id"])
        assert job["output"] == hashlib.sha256(f"value number {n}".encode()).hexdigest()


def test_a_missing_secret_fails_the_job_by_name_before_it_runs_and_without_retries(api: Api) -> None:
    put(api, "THERE", "is its value")
    put(api, "LATER", "is its value")
    put(api.having(tenant=api.tenant + "x"), "MISSING", "of another tenant")
    names = ["THERE", "MISSING", "LATER"]
    worker = api.make_worker(source_code="print('ran')\n", secrets=names, max_retries=3)
    assert api.delete("/secrets/LATER").status_code == 204
    job = api.run_job(worker["id"])
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "missing_secret", 1)
    assert "MISSING, LATER" in job["error"]["message"]
    assert "THERE" not in job["error"]["message"]
    assert data_of(api.get(f"/jobs/{job['id']}/logs"))["logs"] == []
    put(api, "MISSING", "its value at last")
    put(api, "LATER", "its value once more")
    again = api.run_job(worker["id"])
    assert again["error"]["code"] == "load_error"  # it ran: there is no handler in it


def test_a_secret_wins_over_config_of_the_same_name(api: Api) -> None:
    put(api, "TOKEN", "from the vault")
    source = "def handler(input, env):\n    return env['TOKEN'] == 'from ' + 'the vault'\n"
    worker = api.make_worker(source_code=source, secrets=["TOKEN"], config={"TOKEN": "from config"})
    assert api.run_job(worker["id"])["output"] is True


def test_the_log_of_a_running_job_is_masked_as_it_comes(api: Api) -> None:
    put(api, "TOKEN", SECRET)
    source = "import time\ndef handler(input, env):\n    print('first', env['TOKEN'])\n    time.sleep(600)\n"
    worker = api.make_worker(source_code=source, secrets=["TOKEN"])
    job = api.make_job(worker["id"])

    def lines() -> list[str]:
        found = [line["msg"] for line in data_of(api.get(f"/jobs/{job['id']}/logs"))["logs"]]
        assert not [line for line in found if "s3cr3t" in line]
        return found

    until(lines, lambda found: "first ***" in found)
    api.post(f"/jobs/{job['id']}/cancel")
