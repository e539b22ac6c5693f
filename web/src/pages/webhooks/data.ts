/** Endpoints and deliveries, as their pages read them. */

import { api, textOf, type Schemas } from "../../lib/client.ts";
import { given, pageOf } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";

export type Webhook = Schemas["Webhook"];
export type Delivery = Schemas["Delivery"];

/** An event, or a pattern of several, that an endpoint asks for. */
export type EventPattern = Schemas["CreateWebhookBody"]["events"][number];

export const ON_DELIVERIES = ["ava.delivery."] as const;
export const MOST_WEBHOOKS = 100;

/** What an endpoint may ask for: whole families first. */
export const EVENTS: readonly { family: string; all: EventPattern; events: readonly EventPattern[] }[] = [
  { family: "Jobs", all: "ava.job.*", events: ["ava.job.queued", "ava.job.started", "ava.job.completed", "ava.job.failed", "ava.job.cancelled"] },
  { family: "Workers", all: "ava.worker.*", events: ["ava.worker.created", "ava.worker.updated", "ava.worker.deprecated"] },
  { family: "Schedules", all: "ava.schedule.*", events: ["ava.schedule.fired", "ava.schedule.skipped"] },
  {
    family: "Questions",
    all: "ava.question.*",
    events: ["ava.question.asked", "ava.question.escalated", "ava.question.answered", "ava.question.timed_out", "ava.question.withdrawn"],
  },
  {
    family: "Automations",
    all: "ava.automation.*",
    events: ["ava.automation.run.completed", "ava.automation.run.failed", "ava.automation.run.cancelled", "ava.automation.run.delegated"],
  },
  { family: "Agents", all: "ava.agent.action", events: [] },
  { family: "Your own", all: "custom.*", events: [] },
];

export async function listWebhooks(signal: AbortSignal): Promise<readonly Webhook[]> {
  return (await api.get("/v1/webhooks", { query: { per_page: MOST_WEBHOOKS }, signal })).data;
}

export async function listDeliveries(id: string, status: string | undefined, cursor: string | undefined, signal: AbortSignal, count = 50): Promise<ListPage<Delivery>> {
  const query = given({ per_page: count, cursor, "filter[status]": status as Delivery["status"] | undefined });
  return pageOf(await api.get("/v1/webhooks/{webhook_id}/deliveries", { path: { webhook_id: id }, query, signal }));
}

/** Return the body of a delivery, exactly as the endpoint gets it. */
export function bodyOf(delivery: Delivery, signal: AbortSignal): Promise<string> {
  return textOf(`/v1/ava/events/${encodeURIComponent(delivery.event_id)}/webhook`, signal);
}

/** Return the state in which a delivery is shown: one that has failed and is tried again is not just pending. */
export function stateOfDelivery(delivery: Delivery): string {
  return delivery.status === "pending" && delivery.attempt_count > 0 ? "retrying" : delivery.status;
}

/** Return what the last attempt came to, in a few words. */
export function answerOf(delivery: Delivery): string {
  const last = delivery.attempts.at(-1);
  if (!last) return "not sent yet";
  return last.response_status === null ? (last.error ?? "no answer") : `HTTP ${last.response_status}`;
}
