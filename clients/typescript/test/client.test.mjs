/** The client with a real server: RUNWRIGHT_URL, RUNWRIGHT_API_KEY and CLIENT, the module to test. */

import assert from "node:assert/strict";
import { createServer, connect } from "node:net";
import { test } from "node:test";

const { ApiError, createRunwright, isApiError, parseEvents } = await import(process.env.CLIENT);

const url = process.env.RUNWRIGHT_URL;
const apiKey = process.env.RUNWRIGHT_API_KEY;
const rw = createRunwright({ url: `${url}/`, apiKey });
const COUNT = "async def handler(input, env):\n    for n in range(input['lines']):\n        print('line', n)\n    return n\n";

async function countedJob(lines) {
  const worker = await rw.ava.POST("/v1/ava/workers", { body: { name: "count", runtime: "python", source_code: COUNT } });
  const job = await rw.ava.POST("/v1/ava/jobs", {
    params: { query: { wait: 60 } },
    body: { worker_id: worker.data.data.id, input: { lines } },
  });
  assert.equal(job.data.data.status, "completed");
  return job.data.data;
}

async function all(lines) {
  const found = [];
  for await (const line of lines) found.push(line.msg);
  return found;
}

test("a job is run and its log read", async () => {
  const job = await countedJob(3);
  assert.equal(job.output, 2);
  const lines = await all(rw.logs(job.id));
  assert.deepEqual(lines.filter((text) => text.startsWith("line")), ["line 0", "line 1", "line 2"]);
  assert.deepEqual(await all(rw.logs(job.id, { level: "error" })), []);
});

test("numbers that JSON does not have are refused before anything is sent", async () => {
  const sent = [];
  const unsent = createRunwright({ url, apiKey, fetch: async (request) => (sent.push(request), Response.json({})) });
  for (const rows of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const call = () => unsent.ava.POST("/v1/ava/jobs", { body: { worker_id: "wkr_1", input: { all: [{ rows }] } } });
    await assert.rejects(call, { name: "TypeError", message: `rows is ${rows}: JSON has no such number.` });
  }
  assert.equal(sent.length, 0);
  await unsent.ava.POST("/v1/ava/jobs", { body: { worker_id: "wkr_1", input: { none: null, rows: 1.5 } } });
  assert.equal(await sent[0].text(), '{"worker_id":"wkr_1","input":{"none":null,"rows":1.5}}');
});

test("a log continues where a lost connection left it", async () => {
  const job = await countedJob(500);
  const whole = await all(rw.logs(job.id));
  const cuts = [3_000, 900, 20_000];
  const proxy = createServer((near) => {
    const limit = cuts.shift() ?? Number.POSITIVE_INFINITY;
    const { hostname, port } = new URL(url);
    const far = connect(Number(port), hostname);
    let sent = 0;
    near.pipe(far);
    far.on("data", (data) => {
      near.write(data.subarray(0, limit - sent));
      sent += data.length;
      if (sent >= limit) (near.destroy(), far.destroy());
    });
    far.on("close", () => near.end());
    for (const end of [near, far]) end.on("error", () => {});
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  try {
    const cut = createRunwright({ url: `http://127.0.0.1:${proxy.address().port}`, apiKey });
    assert.deepEqual(await all(cut.logs(job.id)), whole);
    assert.deepEqual(cuts, []);
  } finally {
    proxy.close();
  }
});

test("a stream ends when its signal says so", async () => {
  const job = await countedJob(50);
  const stop = new AbortController();
  let count = 0;
  for await (const _ of rw.logs(job.id, { signal: stop.signal })) if (++count === 5) stop.abort();
  assert.equal(count, 5);
});

test("a running job is followed with its progress", async () => {
  const source = `
import time
from runwright import job
def handler(input, env):
    if "go" in input:
        return job.set("go", True)
    job.progress(0.4, "pages")
    while not job.get("go"):
        time.sleep(0.05)
`;
  const worker = await rw.ava.POST("/v1/ava/workers", { body: { name: "reports", runtime: "python", source_code: source } });
  const submit = (input, wait) =>
    rw.ava.POST("/v1/ava/jobs", { params: { query: { wait } }, body: { worker_id: worker.data.data.id, input } });
  const { data } = await submit({}, 0);
  const seen = [];
  for await (const part of rw.follow(data.data.id)) {
    seen.push(part);
    if (part.type === "progress") await submit({ go: true }, 60);
  }
  const { fraction, message } = seen.find((part) => part.type === "progress").progress;
  assert.deepEqual({ fraction, message }, { fraction: 0.4, message: "pages" });
  assert.ok(seen.at(-1).line.msg.startsWith("Handler completed"));
});

test("a stream that is aborted before it begins asks for nothing", async () => {
  const never = () => assert.fail("a request was sent");
  const lazy = createRunwright({ url, apiKey, fetch: never });
  assert.deepEqual(await all(lazy.logs("job_1", { signal: AbortSignal.abort() })), []);
});

test("a server that asks for a long pause is not waited for", async () => {
  const busy = async () => new Response("{}", { status: 503, headers: { "retry-after": "9999999" } });
  await assert.rejects(all(createRunwright({ url, fetch: busy }).logs("job_1")), (error) => isApiError(error, 503));
});

test("refusals are thrown with their fields", async () => {
  const bad = { name: "", runtime: "python", timeout_seconds: 0 };
  await assert.rejects(rw.ava.POST("/v1/ava/workers", { body: bad }), (error) => {
    assert.ok(isApiError(error, 422) && error instanceof ApiError);
    assert.deepEqual(Object.keys(error.fields).sort(), ["name", "timeout_seconds"]);
    assert.ok(error.requestId);
    return true;
  });
  const stranger = createRunwright({ url, apiKey: "wrong" });
  await assert.rejects(stranger.ava.GET("/v1/ava/jobs"), (error) => isApiError(error, 401));
  await assert.rejects(all(stranger.logs("job_1")), (error) => isApiError(error, 401));
  await assert.rejects(stranger.avala.GET("/api/v1/agents/"), (error) => isApiError(error, 401));
});

test("all three APIs answer", async () => {
  assert.deepEqual((await rw.avala.GET("/api/v1/agents/")).data.results, []);
  assert.deepEqual((await rw.agh.GET("/api/automation/jobs")).data.jobs, []);
});

test("events are parsed however they are cut", async () => {
  const text = ': hello\r\nretry: 5\n\nid: 1\nevent: log\ndata: {"a":"\u2028é"}\r\rdata: two\ndata:lines\nid: 2\n\nevent: lost\ndata: x';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
        controller.close();
      },
    });
    const events = [];
    for await (const event of parseEvents(body)) events.push(event);
    assert.deepEqual(events, [
      { type: "log", data: '{"a":"\u2028é"}', id: "1" },
      { type: "message", data: "two\nlines", id: "2" },
    ]);
  }
});
