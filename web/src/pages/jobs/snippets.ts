/** A job as a request that others can repeat: as curl, by the command line, in Python. */

import { at } from "../../lib/base.ts";
import type { Job } from "../../lib/client.ts";

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function asCurl(job: Job): string {
  const body = `{"worker_id": ${JSON.stringify(job.worker_id)}, "input": ${job.input}}`;
  const address = location.origin + at("/v1/ava/jobs?wait=30");
  return [
    `curl -X POST ${quoted(address)} \\`,
    '  -H "Authorization: Bearer $RUNWRIGHT_KEY" \\',
    "  -H 'Content-Type: application/json' \\",
    `  -d ${quoted(body)}`,
  ].join("\n");
}

export function asCommand(job: Job): string {
  return `printf %s ${quoted(job.input)} | runwright run ${job.worker_id} -i -`;
}

export function asPython(job: Job): string {
  return [
    "import json",
    "",
    "from runwright import Runwright",
    "",
    `rw = Runwright(${JSON.stringify(location.origin + at(""))})  # the key is in RUNWRIGHT_API_KEY`,
    `job = rw.jobs.run(${JSON.stringify(job.worker_id)}, json.loads(${JSON.stringify(job.input)}), wait=30)`,
    "print(job.output)",
  ].join("\n");
}
