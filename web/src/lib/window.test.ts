import assert from "node:assert/strict";
import { test } from "node:test";

import { windowOf } from "./window.ts";

test("only what is seen is drawn, and the height stays", () => {
  for (const top of [0, 1000, 3_799_000, 9_999_999, -50]) {
    const { start, end, before, after } = windowOf(100_000, 38, top, 800, 10);
    assert.ok(end - start <= 54 && end >= start && start >= 0 && end <= 100_000);
    assert.equal(before + (end - start) * 38 + after, 3_800_000);
  }
  const drawn = [0, 38].map((by) => windowOf(100_000, 38, 11_400 + by, 800).start);
  assert.equal(new Set(drawn).size, 1 + Number(drawn[0] !== drawn[1]));
  assert.deepEqual(windowOf(0, 38, 0, 800), { start: 0, end: 0, before: 0, after: 0 });
  assert.deepEqual(windowOf(3, 38, 0, 800), { start: 0, end: 3, before: 0, after: 0 });
});
