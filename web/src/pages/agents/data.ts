/** Agents and their executions, as their pages read them: by the agents' own API. */

import type { AvalaComponents } from "runwright-client";

import { runwright } from "../../lib/client.ts";
import { given } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import { answered, peerPage, type Peers } from "../../lib/peers.ts";

export type Agent = AvalaComponents["schemas"]["Agent"];
export type Execution = AvalaComponents["schemas"]["Execution"];
export type Action = AvalaComponents["schemas"]["Action"];

export const ON_AGENTS = ["ava.execution.", "ava.agent.action"] as const;
export const ACTIONS: readonly Action[] = ["approve", "reject", "flag", "skip"];
export const STATUSES: readonly Execution["status"][] = ["pending", "running", "completed", "failed", "timed_out"];
export const SAMPLE = 100;

export async function listAgents(cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Agent>> {
  return peerPage(answered<Peers<Agent>>(await runwright.avala.GET("/api/v1/agents/", { params: { query: given({ limit: 50, cursor }) }, signal })));
}

export async function getAgent(uid: string, signal: AbortSignal): Promise<Agent> {
  return answered<Agent>(await runwright.avala.GET("/api/v1/agents/{uid}/", { params: { path: { uid } }, signal }));
}

export interface ExecutionFilter {
  agent?: string | undefined;
  status?: string | undefined;
  action?: string | undefined;
}

export async function listExecutions(filter: ExecutionFilter, cursor: string | undefined, signal: AbortSignal, limit = 50): Promise<ListPage<Execution>> {
  const query = given({ limit, cursor, status: filter.status as Execution["status"] | undefined, action: filter.action as Action | undefined });
  if (!filter.agent) return peerPage(answered<Peers<Execution>>(await runwright.avala.GET("/api/v1/executions/", { params: { query }, signal })));
  return peerPage(answered<Peers<Execution>>(await runwright.avala.GET("/api/v1/agents/{uid}/executions/", { params: { path: { uid: filter.agent }, query }, signal })));
}

export async function getExecution(uid: string, signal: AbortSignal): Promise<Execution> {
  return answered<Execution>(await runwright.avala.GET("/api/v1/executions/{uid}/", { params: { path: { uid } }, signal }));
}

/** Return the state in which an execution is shown: by what was decided, once something was. */
export function stateOfExecution({ status, action }: Execution): string {
  return status === "completed" ? (action ?? "decided") : status;
}

/** Return the way in which an agent answers. */
export function wayOf(agent: Agent): string {
  if (agent.worker) return `runs the worker ${agent.worker}`;
  return agent.callback_url ? `is called at ${agent.callback_url}` : "polls for its events";
}

/** What people did with what agents flagged. */
export interface Agreement {
  decided: Record<Action, number>;
  failed: number;
  /** Flagged ones that a person decided over, by what the person said. */
  reviewed: Record<Action, number>;
}

export function agreementOf(executions: readonly Execution[]): Agreement {
  const none = () => ({ approve: 0, reject: 0, flag: 0, skip: 0 });
  const result: Agreement = { decided: none(), failed: 0, reviewed: none() };
  for (const { status, action, review } of executions) {
    if (status === "failed" || status === "timed_out") result.failed += 1;
    if (review) {
      result.decided.flag += 1;
      result.reviewed[review.action] += 1;
    } else if (status === "completed" && action) result.decided[action] += 1;
  }
  return result;
}
