/** Schedules, as their pages read them. */

import { api, rawly, type Schemas } from "../../lib/client.ts";
import { given, pageOf } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import type { WithRaw } from "../../lib/payloads.ts";

export type Schedule = WithRaw<Schemas["Schedule"], "input">;
export type Tick = Schemas["Tick"];
export type Firing = Schemas["Firing"];

export const ON_SCHEDULES = ["ava.schedule."] as const;
const PAGE_SIZE = 50;

export interface ScheduleFilter {
  q?: string | undefined;
  worker?: string | undefined;
  enabled?: string | undefined;
}

export async function listSchedules(filter: ScheduleFilter, cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Schedule>> {
  const query = given({
    q: filter.q,
    "filter[worker_id]": filter.worker,
    "filter[enabled]": filter.enabled === undefined ? undefined : filter.enabled === "yes",
    per_page: PAGE_SIZE,
    cursor,
  });
  const page = await api.get("/v1/ava/schedules", { query, signal });
  return pageOf({ ...page, data: rawly<Schedule[]>(page.data) });
}

export async function getSchedule(id: string, signal?: AbortSignal): Promise<Schedule> {
  return rawly<Schedule>((await api.get("/v1/ava/schedules/{schedule_id}", { path: { schedule_id: id }, signal })).data);
}

export async function firingsOf(id: string, count: number, signal?: AbortSignal): Promise<readonly Firing[]> {
  const answer = await api.get("/v1/ava/schedules/{schedule_id}/preview", { path: { schedule_id: id }, query: { count }, signal });
  return answer.data.firings;
}

export async function listTicks(id: string, status: string | undefined, count: number, cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Tick>> {
  const query = given({ per_page: count, cursor, "filter[status]": status as Tick["status"] | undefined });
  return pageOf(await api.get("/v1/ava/schedules/{schedule_id}/ticks", { path: { schedule_id: id }, query, signal }));
}

/** A tick has no id of its own: it is the one of its time and cause. */
export function tickKey(tick: Tick): string {
  return `${tick.scheduled_for} ${tick.origin} ${tick.decided_at}`;
}

const LATE_MS = 1000;

/** Whether a schedule fired later than it should have; a backfill is late by intention. */
export function isLate(tick: Tick): boolean {
  return tick.status === "fired" && tick.origin === "schedule" && (tick.late_ms ?? 0) >= LATE_MS;
}

/** Return what a schedule is called: its name, or that of its worker. */
export function nameOf(schedule: Schedule, worker: string): string {
  return schedule.name ?? worker;
}
