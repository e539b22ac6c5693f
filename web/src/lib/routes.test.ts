import assert from "node:assert/strict";
import { test } from "node:test";

import { build, match, safeAddress } from "./routes.ts";

test("a pattern fits the whole path", () => {
  assert.deepEqual(match("/jobs/:id", "/jobs/job_1"), { id: "job_1" });
  assert.deepEqual(match("/jobs/:id", "/jobs/a%2Fb/"), { id: "a/b" });
  assert.deepEqual(match("/", "/"), {});
  for (const path of ["/jobs", "/jobs/1/2", "/workers/1", "/jobs/%E0%A4%A"]) assert.equal(match("/jobs/:id", path), undefined);
});

test("what is built fits again", () => {
  const path = build("/workers/:id", { id: "<img src=x>/?" }, { tab: "runs", q: undefined, empty: "" });
  assert.equal(path, "/workers/%3Cimg%20src%3Dx%3E%2F%3F?tab=runs");
  assert.deepEqual(match("/workers/:id", path.split("?")[0] as string), { id: "<img src=x>/?" });
});

test("no address runs a script", () => {
  assert.equal(safeAddress("https://example.com/a"), "https://example.com/a");
  for (const text of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:x", "data:text/html,x", "vbscript:x", "/x", ""]) {
    assert.equal(safeAddress(text), undefined);
  }
});
