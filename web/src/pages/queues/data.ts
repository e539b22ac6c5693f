/** What waits and runs, per worker. */

import type { Schemas } from "../../lib/client.ts";

export interface Row {
  id: string;
  name: string;
  queued: number;
  running: number;
  high: number;
  /** How many may run at once; null: no limit of its own. */
  limit: number | null;
  oldest: string | null;
  p95: number | null;
}

/** Return the workers that have jobs, the fullest first, with what the day's report says of them. */
export function joined(depths: readonly Schemas["QueueDepth"][], reports: readonly Schemas["WorkerTotals"][]): Row[] {
  const known = new Map(reports.map((report) => [report.worker_id, report]));
  const rows = depths.map((depth) => {
    const report = known.get(depth.worker_id);
    return {
      id: depth.worker_id,
      name: report?.worker_name ?? depth.worker_id,
      queued: depth.queued,
      running: depth.running,
      high: depth.high_priority,
      limit: report?.max_concurrency ?? null,
      oldest: report?.oldest_due_at ?? null,
      p95: report?.p95_duration_ms ?? null,
    };
  });
  return rows.filter((row) => row.queued + row.running > 0).sort((a, b) => b.queued + b.running - a.queued - a.running);
}
