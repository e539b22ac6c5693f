/** A shared job, as anyone who has its link reads it: with the link's token, and without any cookie. */

import { readError } from "runwright-client";

import { at } from "../../lib/base.ts";
import type { LogLine, Schemas } from "../../lib/client.ts";
import { keepPayloads, type WithRaw } from "../../lib/payloads.ts";

export type SharedJob = WithRaw<Schemas["SharedJob"], "input" | "output">;

export interface LogPart {
  logs: LogLine[];
  next_after: number | null;
  next_before?: number | null;
}

const LINES = 500;

async function read<T>(path: string, token: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(at(path), {
    headers: { authorization: `Bearer ${token}` },
    credentials: "omit",
    referrerPolicy: "no-referrer",
    cache: "no-store",
    signal,
  });
  if (!response.ok) throw await readError(response);
  return (JSON.parse(keepPayloads(await response.text())) as { data: T }).data;
}

/** Read the job; without its payloads while it runs, as they may be large. */
export function readSharedJob(token: string, payloads: boolean, signal: AbortSignal): Promise<SharedJob> {
  return read(`/v1/shared/job${payloads ? "" : "?payloads=false"}`, token, signal);
}

export function readSharedLog(token: string, part: { tail: true } | { after: number } | { before: number }, signal: AbortSignal): Promise<LogPart> {
  const query = new URLSearchParams({ limit: String(LINES), ...Object.fromEntries(Object.entries(part).map(([name, value]) => [name, String(value)])) });
  return read(`/v1/shared/job/logs?${query.toString()}`, token, signal);
}
