import assert from "node:assert/strict";
import { test } from "node:test";

import { spansOf, strip } from "./ansi.ts";

test("colours and weights become spans", () => {
  assert.deepEqual(spansOf("a \u001b[1;31mred\u001b[0m b"), [
    { text: "a " }, { text: "red", bold: true, color: "red" }, { text: " b" },
  ]);
  assert.deepEqual(spansOf("\u001b[32mx\u001b[39my"), [{ text: "x", color: "green" }, { text: "y" }]);
  assert.deepEqual(spansOf("\u001b[38;5;4mx\u001b[38;2;1;2;3my"), [{ text: "x", color: "blue" }, { text: "y", color: "blue" }]);
});

test("everything else that a terminal would obey is dropped", () => {
  assert.equal(strip("\u001b[2J\u001b[1;1Hcleared\u001b]8;;javascript:alert(1)\u0007link\u001b]8;;\u0007"), "clearedlink");
  assert.equal(strip("a\u0000b\u0008c\u202ed"), "a\ufffdb\ufffdc\ufffdd");
  assert.equal(strip("\u001b[31"), "[31");
});

test("markup stays text", () => {
  assert.deepEqual(spansOf("<img src=x onerror=alert(1)>"), [{ text: "<img src=x onerror=alert(1)>" }]);
});

test("a hostile line is bounded", () => {
  const line = "\u001b[31ma".repeat(50_000);
  const spans = spansOf(line);
  assert.ok(spans.length <= 501);
  assert.equal(spans.map(({ text }) => text).join("").length, 50_000);
});
