import assert from "node:assert/strict";
import { test } from "node:test";

import { idOf, uuidOf } from "./ids.ts";

test("an id and its UUID are the same bits", () => {
  assert.equal(uuidOf("exn_01jd9x3v7m0000000000000042"), "019353d1-ecf4-0000-0000-000000000082");
  assert.equal(idOf("exn", "019353D1-ecf4-0000-0000-000000000082"), "exn_01jd9x3v7m0000000000000042");
});

test("anything else is left as it is", () => {
  for (const text of ["exn_short", "", "exn_01jd9x3v7m00000000000000u2"]) assert.equal(uuidOf(text), text);
  assert.equal(idOf("exn", "exn_01jd9x3v7m0000000000000042"), "exn_01jd9x3v7m0000000000000042");
});
