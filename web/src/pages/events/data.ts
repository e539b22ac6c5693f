/** The tenant's events, as their page reads them. */

import { api, rawly, type Schemas } from "../../lib/client.ts";
import { given, pageOf } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import type { WithRaw } from "../../lib/payloads.ts";
import { apiMoment } from "../../lib/times.ts";

export type Event = WithRaw<Schemas["Event"], "data">;

export interface EventFilter {
  type?: string | undefined;
  subject?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

export const FAMILIES = ["ava.job.*", "ava.worker.*", "ava.schedule.*", "ava.delivery.*", "ava.execution.*", "ava.question.*", "ava.automation.*", "custom.*"] as const;

export async function listEvents(filter: EventFilter, cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Event>> {
  const query = given({
    "filter[type]": filter.type,
    "filter[subject_id]": filter.subject,
    "filter[created_after]": filter.from && apiMoment(filter.from),
    "filter[created_before]": filter.to && apiMoment(filter.to),
    per_page: 50,
    cursor,
  });
  const page = await api.get("/v1/ava/events", { query, signal });
  return pageOf({ ...page, data: rawly<Event[]>(page.data) });
}

export async function getEvent(id: string, signal: AbortSignal): Promise<Event> {
  return rawly<Event>((await api.get("/v1/ava/events/{event_id}", { path: { event_id: id }, signal })).data);
}

/** Return the page of what an event is about; undefined if there is none. */
export function pageOfSubject(event: Event): string | undefined {
  const path = { job: "jobs", wkr: "workers", sch: "schedules" }[event.subject_id.split("_")[0] ?? ""];
  return path && `/${path}/${encodeURIComponent(event.subject_id)}`;
}

/** Whether a subscription such as `ava.job.*` asks for a type. */
export function asksFor(pattern: string, type: string): boolean {
  if (pattern === "*" || pattern === type) return true;
  return pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1));
}
