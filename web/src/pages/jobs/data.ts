/** Jobs, as their pages read them. */

import { api, rawly, type Job, type QueryOf, type Schemas } from "../../lib/client.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import { apiMoment } from "../../lib/times.ts";

/** What changes a row; hints at log lines do not. */
export const ON_JOBS = ["ava.job.queued", "ava.job.started", "ava.job.completed", "ava.job.failed", "ava.job.cancelled", "ava.attempt."] as const;
export const PAGE_SIZE = 50;
/** Of the pages after the first, which are read while one scrolls. */
const NEXT_SIZE = 100;
export const SORTS = ["-created", "created", "-started", "started", "-duration", "duration"] as const;
export const STATUSES = ["queued", "running", "completed", "failed", "cancelled"] as const;
export const ERROR_CODES = [
  "handler_error", "timeout", "out_of_memory", "cancelled", "missing_secret", "load_error", "output_too_large", "executor_lost",
] as const;
export const TRIGGERS = ["manual", "scheduled", "webhook", "event"] as const;

/** The filter of the list, as it is in the address. */
export interface JobFilter {
  status?: string | undefined;
  worker?: string | undefined;
  trigger?: string | undefined;
  code?: string | undefined;
  schedule?: string | undefined;
  parent?: string | undefined;
  duration?: string | undefined;
  q?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

export type JobQuery = QueryOf<"/v1/ava/jobs">;

export function queryOf(filter: JobFilter): JobQuery {
  return defined({
    "filter[status]": filter.status,
    "filter[worker_id]": filter.worker,
    "filter[trigger]": filter.trigger as JobQuery["filter[trigger]"],
    "filter[error_code]": filter.code as JobQuery["filter[error_code]"],
    "filter[schedule_id]": filter.schedule,
    "filter[parent_job_id]": filter.parent,
    "filter[min_duration_ms]": filter.duration === undefined ? undefined : Number(filter.duration),
    "filter[created_after]": filter.from && apiMoment(filter.from),
    "filter[created_before]": filter.to && apiMoment(filter.to),
    q: filter.q,
  });
}

/** Return the object without what is undefined or empty. */
export function defined<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> };
}

export async function listJobs(filter: JobFilter, sort: string, cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Job>> {
  const query: JobQuery = {
    ...queryOf(filter),
    per_page: cursor ? NEXT_SIZE : PAGE_SIZE,
    payloads: false,
    sort: (SORTS.find((one) => one === sort) ?? "-created") as NonNullable<JobQuery["sort"]>,
    ...(cursor && { cursor }),
  };
  const { data, pagination } = await api.get("/v1/ava/jobs", { query, signal });
  return { rows: rawly<Job[]>(data), total: pagination.total, next: pagination.next_cursor ?? undefined };
}

/** Return the filter as the body of a bulk operation has it; undefined if it selects everything. */
export function bulkFilterOf(filter: JobFilter): Schemas["JobFilter"] | undefined {
  const body: Schemas["JobFilter"] = defined({
    status: filter.status?.split(",") as Schemas["JobFilter"]["status"],
    worker_id: filter.worker,
    trigger: filter.trigger as Schemas["JobFilter"]["trigger"],
    error_code: filter.code as Schemas["JobFilter"]["error_code"],
    schedule_id: filter.schedule,
    parent_job_id: filter.parent,
    min_duration_ms: filter.duration === undefined ? undefined : Number(filter.duration),
    created_after: filter.from && apiMoment(filter.from),
    created_before: filter.to && apiMoment(filter.to),
    q: filter.q,
  }) as Schemas["JobFilter"];
  return Object.keys(body).length ? body : undefined;
}

export async function getJob(id: string, signal?: AbortSignal): Promise<Job> {
  return rawly<Job>((await api.get("/v1/ava/jobs/{job_id}", { path: { job_id: id }, signal })).data);
}

/** Return how long a job waited, in ms, until now if it still does. */
export function waitedMs(job: Job, now: number): number {
  const due = Math.max(Date.parse(job.created_at), job.scheduled_at ? Date.parse(job.scheduled_at) : 0);
  const until = job.started_at ? Date.parse(job.started_at) : job.completed_at ? Date.parse(job.completed_at) : now;
  return Math.max(0, until - due);
}

/** Return how long a job ran, in ms, until now if it still runs; undefined if it has not started. */
export function ranMs(job: Job, now: number): number | undefined {
  if (job.duration_ms !== null) return job.duration_ms;
  return job.status === "running" && job.started_at ? Math.max(0, now - Date.parse(job.started_at)) : undefined;
}

/** Return whether a job waits for a time that lies ahead. */
export function isDelayed(job: Job, now: number): boolean {
  return job.status === "queued" && job.scheduled_at !== null && Date.parse(job.scheduled_at) > now;
}
