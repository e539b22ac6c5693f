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

const LOOKS: Record<string, StatusLook> = {
  queued: { word: "Queued", tone: "quiet", shape: "ring" },
  scheduled: { word: "Scheduled", tone: "quiet", shape: "clock" },
  running: { word: "Running", tone: "busy", shape: "turning" },
  building: { word: "Building", tone: "busy", shape: "turning" },
  completed: { word: "Completed", tone: "good", shape: "check" },
  failed: { word: "Failed", tone: "bad", shape: "cross" },
  cancelled: { word: "Cancelled", tone: "quiet", shape: "slash" },
  active: { word: "Active", tone: "good", shape: "dot" },
  ready: { word: "Ready", tone: "good", shape: "dot" },
  paused: { word: "Paused", tone: "warn", shape: "pause" },
  deprecated: { word: "Deprecated", tone: "quiet", shape: "slash" },
  degraded: { word: "Degraded", tone: "warn", shape: "alert" },
  waiting: { word: "Waiting", tone: "warn", shape: "clock" },
};

/** Return how a state is shown; one that is not known here is shown by its own word. */
export function lookOf(status: string): StatusLook {
  return LOOKS[status] ?? { word: status.replaceAll("_", " "), tone: "quiet", shape: "dot" };
}
