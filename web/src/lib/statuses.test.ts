import assert from "node:assert/strict";
import { test } from "node:test";

import { stateOfEvent } from "../pages/events/states.ts";
import { lookOf } from "../ui/statuses.ts";

const toneOf = (type: string, data: string | null = null) => {
  const state = stateOfEvent({ type, data });
  return state && lookOf(state).tone;
};

test("an event is shown by what became of it, not by what its type is called", () => {
  assert.equal(toneOf("ava.run.fired", '{"automation_id": "a", "status": "failed"}'), "bad");
  assert.equal(toneOf("ava.run.fired", '{"automation_id": "a", "status": "cancelled"}'), "quiet");
  assert.equal(toneOf("ava.run.fired", '{"automation_id": "a", "status": "scheduled"}'), "good");
  assert.equal(toneOf("ava.schedule.skipped", '{"status": "missed"}'), "bad");
  assert.equal(toneOf("ava.execution.completed", '{"action": "reject"}'), "bad");
  assert.equal(toneOf("ava.agent.action", '{"action": "flag"}'), "warn");
});

test("what is tried again has not failed, and what reports no outcome has no state", () => {
  assert.equal(toneOf("ava.attempt.failed"), "warn");
  assert.equal(toneOf("ava.delivery.failed", '{"response_status": 500}'), "warn");
  assert.equal(toneOf("ava.delivery.abandoned"), "bad");
  assert.equal(toneOf("ava.job.failed"), "bad");
  assert.equal(toneOf("ava.worker.updated"), undefined);
  assert.equal(toneOf("custom.order.failed", '{"status": "failed"}'), undefined);
});

test("a state that is not known is never shown as a good one", () => {
  assert.deepEqual(lookOf("on_fire"), { word: "on fire", tone: "quiet", shape: "dot" });
  assert.equal(lookOf("constructor").tone, "quiet");
});
