/** Whether an event would fire a trigger, condition by condition: as the server compares, but nothing is sent to it. */

export interface Condition {
  what: string;
  wanted: string;
  found: string;
  holds: boolean;
}

export interface TriggerConditions {
  event: string;
  enabled: boolean;
  workspace?: string | undefined;
  filter: Readonly<Record<string, string>>;
}

export interface SampleEvent {
  event: string;
  workspace?: string | undefined;
  source: string;
  data: unknown;
}

const ABSENT = "nothing";

/** Return each condition of a trigger, in the order in which people think of them. */
export function conditionsOf(trigger: TriggerConditions, sample: SampleEvent): Condition[] {
  const same = (what: string, wanted: string, found: string) => ({ what, wanted, found, holds: wanted === found });
  const place = (workspace: string | undefined) => (workspace ? `the workspace ${workspace}` : "no workspace");
  return [
    same("the trigger", "enabled", trigger.enabled ? "enabled" : "paused"),
    same("the event", trigger.event, sample.event),
    same("the scope", place(trigger.workspace), place(sample.workspace)),
    ...Object.entries(trigger.filter).map(([path, wanted]) => {
      const found = textAt(path, sample);
      return { what: path, wanted, found: found ?? ABSENT, holds: found === wanted };
    }),
  ];
}

/** Return what a filter compares at a path: text, or a plain decimal; undefined where it would match nothing. */
function textAt(path: string, sample: SampleEvent): string | undefined {
  const [root, ...rest] = path.split(".");
  if (root === "kind") return rest.length ? undefined : sample.event;
  if (root === "source") return rest.length ? undefined : sample.source;
  if (root !== "data") return undefined;
  let value: unknown = sample.data;
  for (const name of rest) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}
