import assert from "node:assert/strict";
import { test } from "node:test";

import { rowOf, slotsFrom, windowOf } from "./window.ts";

test("only what is seen is drawn, always as many rows, and the height stays", () => {
  for (const top of [0, 1000, 3_799_000, 9_999_999, -50]) {
    const { start, end, before, after } = windowOf(100_000, 38, top, 800, 10);
    assert.ok(end - start === 43 && start >= 0 && end <= 100_000);
    assert.equal(before + (end - start) * 38 + after, 3_800_000);
  }
  const { start, end } = windowOf(100_000, 38, 11_400 + 37, 800);
  assert.ok(start <= 300 - 12 && end >= Math.ceil((11_437 + 800) / 38) + 12);
  assert.deepEqual(windowOf(0, 38, 0, 800), { start: 0, end: 0, before: 0, after: 0 });
  assert.deepEqual(windowOf(3, 38, 0, 800), { start: 0, end: 3, before: 0, after: 0 });
});

test("of the elements that show a window only those change whose rows have left it", () => {
  const pool = 43;
  const shownAt = (start: number) => Array.from({ length: pool }, (_, slot) => rowOf(slot, start, pool));
  for (const [from, to] of [[0, 1], [41, 44], [1000, 998], [-2, -5], [500, 90_000]] as const) {
    const [before, after] = [shownAt(from), shownAt(to)];
    assert.deepEqual(slotsFrom(to, pool, pool).map((slot) => after[slot]), Array.from({ length: pool }, (_, index) => to + index));
    assert.equal(before.filter((row, slot) => row !== after[slot]).length, Math.min(pool, Math.abs(to - from)));
  }
});

test("elements keep their rows when others come in before or behind them", () => {
  const [few, more, earlier] = [slotsFrom(0, 3, 43), slotsFrom(0, 5, 43), slotsFrom(-2, 5, 43)];
  assert.deepEqual(more.slice(0, 3), few);
  assert.deepEqual(earlier.slice(2), few);
  assert.deepEqual(earlier.map((slot) => rowOf(slot, -2, 43)), [-2, -1, 0, 1, 2]);
});
