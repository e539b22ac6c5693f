import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, compact, count, duration, percent, plural, shortId, total } from "./format.ts";

test("durations have two units at most, and no jump between them", () => {
  const cases: [number, string][] = [
    [0, "0 ms"], [0.4, "<1 ms"], [340.4, "340 ms"], [1000, "1 s"], [1234, "1.23 s"], [12_440, "12.4 s"],
    [59_960, "1 m 00 s"], [185_000, "3 m 05 s"], [3_599_600, "1 h 00 m"], [7_800_000, "2 h 10 m"], [356_400_000, "4 d 3 h"],
  ];
  for (const [ms, text] of cases) assert.equal(duration(ms), text);
});

test("counts above what the server counts say so", () => {
  assert.equal(total(10_000), "10,000");
  assert.equal(total(10_001), "10,000+");
  assert.equal(compact(12_345), "12.3K");
  assert.equal(plural(1, "job"), "1 job");
  assert.equal(plural(5213, "job"), "5,213 jobs");
});

test("sizes and shares are short, and never round to nothing or all", () => {
  assert.equal(bytes(900), "900 B");
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(300 * 1024 * 1024), "300 MiB");
  assert.equal(percent(1, 100_000), "<0.1%");
  assert.equal(percent(99_999, 100_000), ">99.9%");
  assert.equal(percent(1, 3), "33%");
  assert.equal(percent(0, 0), "–");
});

test("ids keep their kind and their end", () => {
  assert.equal(shortId("job_01jd9x3v7m0000000000000abc"), "job_…00000abc");
  assert.equal(shortId("platform"), "platform");
});

test("numbers are grouped by thousands", () => {
  const cases: [number, string][] = [
    [0, "0"], [999, "999"], [1000, "1,000"], [-1234567, "-1,234,567"], [12_345_678, "12,345,678"], [1234.5, "1234.5"], [0.30000000000000004, "0.3"],
  ];
  for (const [value, text] of cases) assert.equal(count(value), text);
});
