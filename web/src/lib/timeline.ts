/** What a job spent its time with, as bars of a waterfall. */

export type Phase = "queue" | "boot" | "run" | "failed" | "cancelled";

export interface Bar {
  phase: Phase;
  from: number;
  to: number;
}

export interface Lane {
  id: string;
  label: string;
  bars: Bar[];
  /** The job that it shows, if it is another one. */
  job?: string;
  status: string;
}

export interface TimedAttempt {
  attempt: number;
  status: string;
  /** When an executor took it: from then on a sandbox is made ready. */
  claimed_at?: string | null;
  started_at: string | null;
  completed_at: string | null;
}

export interface TimedJob {
  id: string;
  status: string;
  created_at: string;
  scheduled_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  worker_name: string | null;
}

/** Return a lane for each attempt: its wait since the job was due, or since the attempt before it, its boot, and its run. */
export function lanesOf(job: TimedJob, attempts: readonly TimedAttempt[], now: number): Lane[] {
  let since = Math.max(time(job.created_at), job.scheduled_at ? time(job.scheduled_at) : 0);
  const lanes = attempts.map((attempt): Lane => {
    const start = attempt.started_at ? time(attempt.started_at) : undefined;
    const end = attempt.completed_at ? time(attempt.completed_at) : Math.max(now, start ?? 0);
    const bars: Bar[] = [];
    if (start === undefined) bars.push({ phase: "queue", from: since, to: Math.max(since, end) });
    else {
      const claim = attempt.claimed_at ? Math.min(Math.max(time(attempt.claimed_at), since), start) : start;
      if (claim > since) bars.push({ phase: "queue", from: since, to: claim });
      if (start > claim) bars.push({ phase: "boot", from: claim, to: start });
      bars.push({ phase: phaseOf(attempt.status), from: start, to: Math.max(start, end) });
    }
    since = end;
    return { id: `attempt ${attempt.attempt}`, label: `Attempt ${attempt.attempt}`, bars, status: attempt.status };
  });
  if (job.completed_at === null && job.status === "queued" && since > now) return lanes; // it is not due yet
  if (job.completed_at === null && job.status === "queued") {
    lanes.push({ id: "waiting", label: attempts.length ? "Next attempt" : "Waiting", bars: [{ phase: "queue", from: since, to: now }], status: "queued" });
  } else if (!lanes.length) {
    lanes.push({ id: "waited", label: "Waited", bars: [{ phase: "queue", from: since, to: Math.max(since, job.completed_at ? time(job.completed_at) : now) }], status: job.status });
  }
  return lanes;
}

/** Return the lane of a job that the job has started. */
export function laneOfChild(child: TimedJob, now: number): Lane {
  const due = Math.max(time(child.created_at), child.scheduled_at ? time(child.scheduled_at) : 0);
  const start = child.started_at ? time(child.started_at) : undefined;
  const end = child.completed_at ? time(child.completed_at) : now;
  const bars: Bar[] = [{ phase: "queue", from: due, to: start ?? Math.max(due, end) }];
  if (start !== undefined) bars.push({ phase: phaseOf(child.status), from: start, to: Math.max(start, end) });
  return { id: child.id, label: child.worker_name ?? child.id, bars, job: child.id, status: child.status };
}

/** Return the first and the last moment of all lanes. */
export function spanOf(lanes: readonly Lane[]): { from: number; to: number } {
  const bars = lanes.flatMap((lane) => lane.bars);
  const from = Math.min(...bars.map((bar) => bar.from));
  const to = Math.max(...bars.map((bar) => bar.to));
  return { from, to: Math.max(to, from + 1) };
}

export interface Span {
  from: number;
  to: number;
}

/** Return the part of a bar that lies in a span; undefined if none does. */
export function partOf(bar: Bar, span: Span): Bar | undefined {
  const from = Math.max(bar.from, span.from);
  const to = Math.min(bar.to, span.to);
  return from > to || (from === to && bar.from !== bar.to) ? undefined : { phase: bar.phase, from, to };
}

/** Whether a map helps to see what there is: there are several lanes, or bars that are too short to be seen. */
export function needsMap(lanes: readonly Lane[]): boolean {
  const { from, to } = spanOf(lanes);
  return lanes.length > 3 || lanes.some((lane) => lane.bars.some((bar) => bar.to > bar.from && bar.to - bar.from < (to - from) / 100));
}

/** Return a span moved by a share of its length, or with its length changed about its middle; it stays within `whole`. */
export function moved(span: Span, whole: Span, { by = 0, zoom = 1 }: { by?: number; zoom?: number }): Span {
  const most = whole.to - whole.from;
  const length = Math.min(most, Math.max((span.to - span.from) * zoom, Math.min(1, most)));
  const middle = (span.from + span.to) / 2 + by * (span.to - span.from);
  const from = Math.min(Math.max(middle - length / 2, whole.from), whole.to - length);
  return { from, to: from + length };
}

/** Return some round moments of a span, in ms from its start. */
export function ticksOf(ms: number, most = 5): number[] {
  const steps = [1, 2, 5].flatMap((digit) => Array.from({ length: 10 }, (_, power) => digit * 10 ** power));
  const minutes = [60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21_600e3, 86_400e3, 604_800e3];
  const all = [...steps.filter((step) => step < 60e3), ...minutes].sort((a, b) => a - b);
  const step = all.find((one) => ms / one <= most) ?? ms;
  return Array.from({ length: Math.floor(ms / step) + 1 }, (_, index) => index * step);
}

function phaseOf(status: string): Phase {
  return status === "failed" ? "failed" : status === "cancelled" ? "cancelled" : "run";
}

function time(text: string): number {
  return Date.parse(text);
}
