import assert from "node:assert/strict";
import { test } from "node:test";

import { laneOfChild, lanesOf, moved, needsMap, partOf, spanOf, ticksOf, type TimedJob } from "./timeline.ts";

const at = (seconds: number) => new Date(1_700_000_000_000 + seconds * 1000).toISOString();
const ms = (seconds: number) => 1_700_000_000_000 + seconds * 1000;
const job = (changes: Partial<TimedJob>): TimedJob => ({
  id: "job_1", status: "completed", created_at: at(0), scheduled_at: null, started_at: null, completed_at: null, worker_name: "w", ...changes,
});

test("attempts wait, run, and wait again", () => {
  const lanes = lanesOf(
    job({ completed_at: at(9) }),
    [
      { attempt: 1, status: "failed", started_at: at(1), completed_at: at(2) },
      { attempt: 2, status: "completed", started_at: at(7), completed_at: at(9) },
    ],
    ms(100),
  );
  assert.deepEqual(lanes.map((lane) => lane.bars), [
    [{ phase: "queue", from: ms(0), to: ms(1) }, { phase: "failed", from: ms(1), to: ms(2) }],
    [{ phase: "queue", from: ms(2), to: ms(7) }, { phase: "run", from: ms(7), to: ms(9) }],
  ]);
  assert.deepEqual(spanOf(lanes), { from: ms(0), to: ms(9) });
});

test("a sandbox that is made ready is apart from the queue and from the run", () => {
  const ran = { attempt: 1, status: "completed", started_at: at(3), completed_at: at(9) };
  const barsOf = (claimed_at: string | null) => lanesOf(job({ completed_at: at(9) }), [{ ...ran, claimed_at }], ms(9))[0]?.bars;
  assert.deepEqual(barsOf(at(1)), [
    { phase: "queue", from: ms(0), to: ms(1) }, { phase: "boot", from: ms(1), to: ms(3) }, { phase: "run", from: ms(3), to: ms(9) },
  ]);
  assert.deepEqual(barsOf(null), [{ phase: "queue", from: ms(0), to: ms(3) }, { phase: "run", from: ms(3), to: ms(9) }]);
  assert.deepEqual(barsOf(at(4)), barsOf(null)); // clocks differ
});

test("a span shows parts of bars, and is moved within the whole", () => {
  const whole = { from: 0, to: 100 };
  assert.deepEqual(partOf({ phase: "run", from: 10, to: 50 }, { from: 40, to: 60 }), { phase: "run", from: 40, to: 50 });
  assert.equal(partOf({ phase: "run", from: 10, to: 40 }, { from: 40, to: 60 }), undefined);
  assert.deepEqual(moved({ from: 40, to: 60 }, whole, { by: 0.5 }), { from: 50, to: 70 });
  assert.deepEqual(moved({ from: 40, to: 60 }, whole, { by: -9 }), { from: 0, to: 20 });
  assert.deepEqual(moved({ from: 40, to: 60 }, whole, { zoom: 0.5 }), { from: 45, to: 55 });
  assert.deepEqual(moved({ from: 40, to: 60 }, whole, { zoom: 99 }), whole);
});

test("a map is for what is hard to see", () => {
  const lanes = (...bars: [number, number][]) => [{ id: "a", label: "a", status: "completed", bars: bars.map(([from, to]) => ({ phase: "run" as const, from, to })) }];
  assert.equal(needsMap(lanes([0, 40], [40, 100])), false);
  assert.equal(needsMap(lanes([0, 1], [1, 1000])), true);
});

test("what is not over ends now", () => {
  const [running] = lanesOf(job({ status: "running" }), [{ attempt: 1, status: "running", started_at: at(1), completed_at: null }], ms(5));
  assert.deepEqual(running?.bars[1], { phase: "run", from: ms(1), to: ms(5) });
  const [waiting] = lanesOf(job({ status: "queued" }), [], ms(5));
  assert.deepEqual([waiting?.label, waiting?.bars], ["Waiting", [{ phase: "queue", from: ms(0), to: ms(5) }]]);
});

test("a job that is not due has no lane", () => {
  assert.deepEqual(lanesOf(job({ status: "queued", scheduled_at: at(60) }), [], ms(5)), []);
});

test("a delay that was asked for is no wait", () => {
  const [lane] = lanesOf(job({ scheduled_at: at(60) }), [{ attempt: 1, status: "completed", started_at: at(61), completed_at: at(62) }], ms(99));
  assert.deepEqual(lane?.bars[0], { phase: "queue", from: ms(60), to: ms(61) });
});

test("a job that never ran has waited", () => {
  const lanes = lanesOf(job({ status: "cancelled", completed_at: at(3) }), [], ms(9));
  assert.deepEqual(lanes.map((lane) => [lane.label, lane.bars]), [["Waited", [{ phase: "queue", from: ms(0), to: ms(3) }]]]);
  assert.equal(laneOfChild(job({ started_at: at(1), completed_at: at(2) }), ms(9)).bars.length, 2);
});

test("ticks are round and few", () => {
  assert.deepEqual(ticksOf(1_200), [0, 500, 1000]);
  assert.deepEqual(ticksOf(4), [0, 1, 2, 3, 4]);
  for (const span of [1, 37, 1e3, 61e3, 5e6, 9e8, 1e11]) assert.ok(ticksOf(span).length <= 7);
});
