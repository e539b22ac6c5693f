/** What the server refused of a form: each problem beside its field, the rest above the buttons. */

import { ApiError, messageOf } from "./client.ts";

/** Return what the server said about a field; undefined if nothing. */
export function problemWith(error: unknown, field: string): string | undefined {
  return error instanceof ApiError ? error.fields[field]?.join(" ") : undefined;
}

/** Return what the server said beyond what is shown beside `fields`. */
export function otherProblem(error: unknown, fields: readonly string[]): string | undefined {
  if (error === undefined || error === null) return undefined;
  if (!(error instanceof ApiError)) return messageOf(error);
  const others = Object.entries(error.fields).filter(([name]) => !fields.includes(name));
  const request = error.requestId ? ` (request ${error.requestId})` : "";
  if (others.length) return others.map(([name, texts]) => `${name}: ${texts.join(" ")}`).join("\n") + request;
  return Object.keys(error.fields).length ? undefined : error.message + request;
}
