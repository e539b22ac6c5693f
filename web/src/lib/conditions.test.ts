import assert from "node:assert/strict";
import { test } from "node:test";

import { conditionsOf } from "./conditions.ts";

const TRIGGER = { event: "custom.paid", enabled: true, filter: { "data.ref": "main", "data.repository.private": "false", "data.count": "7" } };

test("an event fires a trigger if every condition holds", () => {
  const data = { ref: "main", repository: { private: false }, count: 7 };
  const held = conditionsOf(TRIGGER, { event: "custom.paid", source: "api", data });
  assert.deepEqual(held.filter((one) => !one.holds), []);
});

test("each condition that fails says what was found", () => {
  const data = { ref: "dev", repository: [], count: null };
  const failed = conditionsOf({ ...TRIGGER, workspace: "ws" }, { event: "custom.sent", source: "api", data }).filter((one) => !one.holds);
  assert.deepEqual(
    failed.map(({ what, found }) => [what, found]),
    [["the event", "custom.sent"], ["the scope", "no workspace"], ["data.ref", "dev"], ["data.repository.private", "nothing"], ["data.count", "nothing"]],
  );
});

test("what an object inherits is not there", () => {
  const [, , , one] = conditionsOf({ ...TRIGGER, filter: { "data.constructor.name": "Object" } }, { event: "custom.paid", source: "api", data: {} });
  assert.equal(one?.holds, false);
});
