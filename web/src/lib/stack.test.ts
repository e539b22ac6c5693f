import assert from "node:assert/strict";
import { test } from "node:test";

import { framesOf } from "./stack.ts";

test("a Python traceback has the innermost frame first", () => {
  const stack = [
    "Traceback (most recent call last):",
    '  File "/usr/lib/python3.12/asyncio/runners.py", line 190, in run',
    "    return runner.run(main)",
    '  File "main.py", line 7, in handler',
    "    raise ValueError(input)",
    "ValueError: x",
  ].join("\n");
  assert.deepEqual(framesOf(stack), [
    { file: "main.py", line: 7, name: "handler", code: "raise ValueError(input)", own: true },
    { file: "/usr/lib/python3.12/asyncio/runners.py", line: 190, name: "run", code: "return runner.run(main)", own: false },
  ]);
});

test("stacks of scripts, with and without names", () => {
  const stack = "Error: x\n    at handler (file:///code/index.js:3:9)\n    at node:internal/process:95:5\n    at async run (/harness/node.mjs:8:1)";
  assert.deepEqual(
    framesOf(stack).map(({ file, line, name, own }) => [file, line, name, own]),
    [["file:///code/index.js", 3, "handler", true], ["node:internal/process", 95, "", false], ["/harness/node.mjs", 8, "run", false]],
  );
});

test("another form has no frames, and a hostile one takes no time", () => {
  assert.deepEqual(framesOf("boom"), []);
  framesOf(`at ${"a".repeat(100_000)}`);
  framesOf(`    at ${" (".repeat(50_000)}`);
  framesOf('  File "'.repeat(20_000));
});
