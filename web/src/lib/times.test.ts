import assert from "node:assert/strict";
import { test } from "node:test";

import { apiMoment, clock, describe, exact, instant, relative, resolve } from "./times.ts";

const NOW = Date.parse("2026-03-29T12:00:00Z");

test("an end of a range is now, some time before it, or an instant", () => {
  assert.equal(instant("now", NOW), NOW);
  assert.equal(instant("now-6h", NOW), NOW - 6 * 3_600_000);
  assert.equal(instant("2026-03-29T11:00:00Z", NOW), NOW - 3_600_000);
  for (const text of ["now-", "now-6y", "yesterday", "", "now+1h"]) assert.equal(instant(text, NOW), undefined);
});

test("a range that is empty or upside down denotes no span", () => {
  assert.deepEqual(resolve({ from: "now-1h", to: "now" }, NOW), { from: NOW - 3_600_000, to: NOW });
  assert.equal(resolve({ from: "now", to: "now-1h" }, NOW), undefined);
  assert.equal(resolve({ from: "x", to: "now" }, NOW), undefined);
});

test("the API gets what it knows", () => {
  assert.equal(apiMoment("now-6h"), "-6h");
  assert.equal(apiMoment("now"), undefined);
  assert.equal(apiMoment("2026-03-29T11:00:00Z"), "2026-03-29T11:00:00.000Z");
});

test("ranges are described as they were chosen", () => {
  assert.equal(describe({ from: "now-24h", to: "now" }, "utc"), "Last 24 hours");
  assert.equal(
    describe({ from: "2026-03-29T11:00:00Z", to: "now-5m" }, "utc"),
    "2026-03-29 11:00:00 UTC – now-5m",
  );
});

test("relative times have one unit", () => {
  const cases: [number, string][] = [
    [0, "just now"], [12_000, "12 s ago"], [99_000, "99 s ago"], [100_000, "1 m ago"], [7_200_000, "2 h ago"],
    [3 * 86_400_000, "3 d ago"], [-300_000, "in 5 m"], [-2_000, "now"],
  ];
  for (const [ago, text] of cases) assert.equal(relative(NOW - ago, NOW), text);
});

test("exact times are written in their zone", () => {
  assert.equal(exact("2026-03-29T12:00:00.045Z", "utc"), "2026-03-29 12:00:00.045 UTC");
  assert.equal(clock("2026-03-29T12:00:00.045Z", "utc"), "12:00:00.045");
  assert.equal(exact("no time", "utc"), "no time");
});
