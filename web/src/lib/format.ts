/** Numbers, sizes and durations as people read them. */

/** Made when it is needed: it takes longer than the rest of a page's start. */
let compactly: Intl.NumberFormat | undefined;
/** Up to here the server counts exactly. */
export const EXACT_COUNT = 10_000;

export function count(value: number): string {
  return Number.isInteger(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : String(Number(value.toFixed(3)));
}

/** Return the number of rows of a list, which is an estimate above 10,000. */
export function total(value: number): string {
  return value > EXACT_COUNT ? `${count(EXACT_COUNT)}+` : count(value);
}

export function compact(value: number): string {
  compactly ??= new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  return compactly.format(value);
}

/** Return `1 job`, `2 jobs`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : Number(size.toFixed(1))} ${units[unit]}`;
}

/** Return `340 ms`, `12.4 s`, `3 m 05 s`, `2 h 10 m`, `4 d 3 h`. */
export function duration(ms: number): string {
  if (ms < 1) return ms > 0 ? "<1 ms" : "0 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${Number((ms / 1000).toFixed(ms < 9_950 ? 2 : 1))} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60 * 48) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function percent(part: number, whole: number): string {
  if (whole === 0) return "–";
  const share = (100 * part) / whole;
  if (part > 0 && share < 0.1) return "<0.1%";
  if (part < whole && share > 99.9) return ">99.9%";
  return `${Number(share.toFixed(share < 10 ? 1 : 0))}%`;
}

/** Return the end of an id, which distinguishes ids of one kind. */
export function shortId(id: string): string {
  const [prefix, rest] = id.split("_", 2);
  return rest && rest.length > 10 ? `${prefix}_…${rest.slice(-8)}` : id;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
