/** Automations and their runs, as their pages read them. */

import type { AghComponents } from "runwright-client";

import { runwright } from "../../lib/client.ts";
import { given } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import { answered } from "../../lib/peers.ts";
import { inWords } from "../../lib/cron.ts";

type Schemas = AghComponents["schemas"];
export type Job = Schemas["Job"];
export type Trigger = Schemas["Trigger"];
export type Run = Schemas["Run"];
export type Attempt = Schemas["Attempt"];

export const ON_RUNS = ["ava.run.", "ava.automation."] as const;
export const RUN_STATUSES = ["scheduled", "running", "delegated", "completed", "failed", "canceled"] as const;
const MOST = 100;

export async function listJobs(signal: AbortSignal): Promise<readonly Job[]> {
  return answered<Schemas["JobList"]>(await runwright.agh.GET("/api/automation/jobs", { params: { query: { limit: MOST } }, signal })).jobs;
}

export async function listTriggers(signal: AbortSignal): Promise<readonly Trigger[]> {
  return answered<Schemas["TriggerList"]>(await runwright.agh.GET("/api/automation/triggers", { params: { query: { limit: MOST } }, signal })).triggers;
}

export interface RunFilter {
  status?: string | undefined;
  job?: string | undefined;
  trigger?: string | undefined;
}

export async function listRuns(filter: RunFilter, cursor: string | undefined, signal: AbortSignal, limit = 50): Promise<ListPage<Run>> {
  const query = given({ limit, cursor, status: filter.status as (typeof RUN_STATUSES)[number] | undefined, job_id: filter.job, trigger_id: filter.trigger });
  const page = answered<Schemas["RunList"]>(await runwright.agh.GET("/api/automation/runs", { params: { query }, signal }));
  return { rows: page.runs, total: undefined, next: page.next_cursor || undefined };
}

export async function getRun(run_id: string, signal: AbortSignal): Promise<Run> {
  return answered<Schemas["RunEnvelope"]>(await runwright.agh.GET("/api/automation/runs/{run_id}", { params: { path: { run_id } }, signal })).run;
}

export async function attemptsOf(run_id: string, signal: AbortSignal): Promise<readonly Attempt[]> {
  return answered<Schemas["AttemptList"]>(await runwright.agh.GET("/api/automation/runs/{run_id}/attempts", { params: { path: { run_id } }, signal })).attempts;
}

/** Return the state in which a run is shown; one that is scheduled waits for its turn, not for a time. */
export function stateOfRun(run: { status: string }): string {
  return run.status === "scheduled" ? "queued" : run.status;
}

/** Return when a job fires, in words. */
export function whenOf(job: Job): string {
  const schedule = job.schedule;
  if (!schedule) return "by hand";
  if (schedule.mode === "every") return `every ${schedule.interval ?? ""}`;
  if (schedule.mode === "at") return `once, at ${schedule.time ?? ""}`;
  const [, zone, expression] = /^(?:TZ=(\S+) )?(.*)$/.exec(schedule.expr ?? "") ?? [];
  const words = inWords(expression ?? "") ?? expression ?? "";
  return zone ? `${words}, ${zone}` : words;
}

/** Return the path at which a trigger's webhook receives. */
export function hookPath(trigger: Trigger): string | undefined {
  if (trigger.event !== "webhook" || !trigger.webhook_id) return undefined;
  const end = `${encodeURIComponent(trigger.endpoint_slug ?? "")}--${encodeURIComponent(trigger.webhook_id)}`;
  return trigger.workspace_id ? `/api/webhooks/workspaces/${encodeURIComponent(trigger.workspace_id)}/${end}` : `/api/webhooks/global/${end}`;
}

/** Return milliseconds between two times; undefined if one is missing. */
export function between(start: string | undefined, end: string | undefined): number | undefined {
  return start && end ? Date.parse(end) - Date.parse(start) : undefined;
}
