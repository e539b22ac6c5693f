/** How states are shown: always by a shape and a word, and by a colour as well. */

export type Tone = "good" | "bad" | "warn" | "busy" | "quiet";
export type Shape = "check" | "cross" | "slash" | "turning" | "ring" | "clock" | "pause" | "dot" | "alert";

export interface StatusLook {
  word: string;
  tone: Tone;
  shape: Shape;
}

const circle = (radius: number) => `M8 ${8 - radius}a${radius} ${radius} 0 1 0 0 ${2 * radius}a${radius} ${radius} 0 1 0 0 ${-2 * radius}Z`;

/** Paths in 16 by 16, each after its class: `fill` and `cut-out` in it, or lines. */
export const SHAPES: Readonly<Record<Shape, readonly [string, string, string?, string?]>> = {
  check: ["fill", circle(6.5), "cut-out", "m5.2 8.2 2 2 3.7-4"],
  cross: ["fill", "M5.1 1.5h5.8l3.6 3.6v5.8l-3.6 3.6H5.1l-3.6-3.6V5.1z", "cut-out", "m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"],
  slash: ["line", `${circle(5.8)}M5 11 11 5`],
  turning: ["track", circle(5.7), "line thick", "M8 2.3A5.7 5.7 0 0 1 13.7 8"],
  ring: ["line dashed", circle(5.8)],
  clock: ["line", `${circle(5.8)}M8 5v3l2 1.5`],
  pause: ["fill", circle(6.5), "cut-out", "M6.4 5.8v4.4m3.2-4.4v4.4"],
  alert: ["fill", "M8 1.8 15 14H1z", "cut-out", "M8 6v3.5m0 2v.1"],
  dot: ["fill", circle(4)],
};

const GOOD = { tone: "good", shape: "check" } as const;
const LIVE = { tone: "good", shape: "dot" } as const;
const BAD = { tone: "bad", shape: "cross" } as const;
const CARE = { tone: "warn", shape: "alert" } as const;
const BUSY = { tone: "busy", shape: "turning" } as const;
const HELD = { tone: "warn", shape: "pause" } as const;
const LATER = { tone: "quiet", shape: "clock" } as const;
const NEXT = { tone: "quiet", shape: "ring" } as const;
const NOT = { tone: "quiet", shape: "slash" } as const;

/** Every state of everything that has one: the same one looks the same wherever it is shown. */
const LOOKS: ReadonlyMap<string, StatusLook> = new Map(Object.entries<StatusLook>({
  // Jobs, attempts and runs.
  queued: { word: "Queued", ...NEXT },
  scheduled: { word: "Scheduled", ...LATER },
  running: { word: "Running", ...BUSY },
  completed: { word: "Completed", ...GOOD },
  delegated: { word: "Delegated", ...GOOD },
  failed: { word: "Failed", ...BAD },
  timed_out: { word: "Timed out", ...BAD },
  cancelled: { word: "Cancelled", ...NOT },
  canceled: { word: "Cancelled", ...NOT },
  // Workers, their versions, and whatever can be turned off.
  building: { word: "Building", ...BUSY },
  ready: { word: "Ready", ...LIVE },
  active: { word: "Active", ...LIVE },
  paused: { word: "Paused", ...HELD },
  suspended: { word: "Suspended", ...HELD },
  deprecated: { word: "Deprecated", ...NOT },
  missing: { word: "Missing", ...CARE },
  // Firings.
  fired: { word: "Fired", ...GOOD },
  skipped: { word: "Skipped", ...NOT },
  missed: { word: "Missed", ...BAD },
  // Endpoints and deliveries.
  degraded: { word: "Degraded", ...CARE },
  delivered: { word: "Delivered", ...GOOD },
  pending: { word: "Pending", ...NEXT },
  retrying: { word: "Retrying", ...CARE },
  abandoned: { word: "Abandoned", ...BAD },
  // What agents and people decide.
  decided: { word: "Decided", ...GOOD },
  approve: { word: "Approved", ...GOOD },
  reject: { word: "Rejected", ...BAD },
  flag: { word: "Waits for a person", ...CARE },
  skip: { word: "Skipped", ...NOT },
  waiting: { word: "Waiting", tone: "warn", shape: "clock" },
  // Executors and keys.
  live: { word: "Live", ...LIVE },
  draining: { word: "Draining", ...HELD },
  lost: { word: "Lease has ended", ...BAD },
  expiring: { word: "Expires soon", ...CARE },
  expired: { word: "Expired", ...LATER },
  revoked: { word: "Revoked", ...NOT },
}));

export function isState(status: string): boolean {
  return LOOKS.has(status);
}

/** Return how a state is shown; one that is not known here is shown by its own word, and never as something good. */
export function lookOf(status: string): StatusLook {
  return LOOKS.get(status) ?? { word: status.replaceAll("_", " "), tone: "quiet", shape: "dot" };
}
