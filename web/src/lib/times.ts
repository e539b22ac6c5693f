/** Times as people read them, and ranges of time as Grafana writes them. */

export type Zone = "local" | "utc";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };
const RELATIVE = /^now(?:-(\d{1,4})([smhdw]))?$/;

/** A span of time: each end is `now`, `now-6h`, or an instant in ISO 8601. */
export interface Range {
  from: string;
  to: string;
}

export const PRESETS: readonly [label: string, from: string][] = [
  ["Last 15 minutes", "now-15m"],
  ["Last hour", "now-1h"],
  ["Last 6 hours", "now-6h"],
  ["Last 24 hours", "now-24h"],
  ["Last 7 days", "now-7d"],
  ["Last 30 days", "now-30d"],
];

/** Return the instant in ms that an end of a range denotes; undefined if it denotes none. */
export function instant(text: string, now: number): number | undefined {
  const found = RELATIVE.exec(text.trim());
  if (found) return now - (found[1] ? Number(found[1]) * (UNITS[found[2] as string] as number) : 0);
  const at = Date.parse(text.trim());
  return Number.isNaN(at) ? undefined : at;
}

/** Return both ends in ms, in order; undefined if the range denotes no span. */
export function resolve(range: Range, now: number): { from: number; to: number } | undefined {
  const [from, to] = [instant(range.from, now), instant(range.to, now)];
  return from === undefined || to === undefined || from >= to ? undefined : { from, to };
}

/** Return a range as the API takes it, which knows `-6h` itself. */
export function apiMoment(text: string): string | undefined {
  const found = RELATIVE.exec(text);
  if (!found) return new Date(text).toISOString();
  return found[1] ? `-${found[1]}${found[2]}` : undefined;
}

export function describe(range: Range, zone: Zone): string {
  const preset = PRESETS.find(([, from]) => from === range.from);
  if (preset && range.to === "now") return preset[0];
  const end = (text: string) => (RELATIVE.test(text) ? text : exact(text, zone, false));
  return `${end(range.from)} – ${end(range.to)}`;
}

/** Return `in 5 m`, `12 s ago`, `3 d ago`. */
export function relative(at: number, now: number): string {
  const gone = now - at;
  const size = Math.abs(gone);
  if (size < 5 * SECOND) return gone >= 0 ? "just now" : "now";
  const [unit, name] =
    size < 100 * SECOND ? [SECOND, "s"] : size < 100 * MINUTE ? [MINUTE, "m"] : size < 48 * HOUR ? [HOUR, "h"] : [DAY, "d"];
  const text = `${Math.floor(size / unit)} ${name}`;
  return gone >= 0 ? `${text} ago` : `in ${text}`;
}

/** Return `2026-03-29 14:05:09.123`, with the zone if it is not obvious. */
export function exact(at: string | number | Date, zone: Zone, milliseconds = true): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const parts = zone === "utc" ? utcParts(date) : localParts(date);
  const [year, month, day, hour, minute, second] = parts.map((part) => String(part).padStart(2, "0"));
  const fraction = milliseconds ? `.${String(date.getUTCMilliseconds()).padStart(3, "0")}` : "";
  return `${year}-${month}-${day} ${hour}:${minute}:${second}${fraction}${zone === "utc" ? " UTC" : ""}`;
}

/** Return `14:05:09.123`. */
export function clock(at: string | number, zone: Zone, milliseconds = true): string {
  return exact(at, zone, milliseconds).slice(11).replace(" UTC", "");
}

function utcParts(date: Date): number[] {
  return [
    date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(),
    date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds(),
  ];
}

function localParts(date: Date): number[] {
  return [
    date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds(),
  ];
}
