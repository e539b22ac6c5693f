/** How states are shown: always by a shape and a word, and by a colour as well. */

export type Tone = "good" | "bad" | "warn" | "busy" | "quiet";
export type Shape = "check" | "cross" | "slash" | "turning" | "ring" | "clock" | "pause" | "dot" | "alert";

export interface StatusLook {
  word: string;
  tone: Tone;
  shape: Shape;
}

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
