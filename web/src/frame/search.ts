/** What the palette finds on the server. */

import { api } from "../lib/client.ts";
import { router } from "../lib/router.svelte.ts";
import { build } from "../lib/routes.ts";
import type { Command } from "../ui/Palette.svelte";

const ID = /^([a-z]{2,4})_[0-9a-z]{26}$/;
const SHOWN = 8;

/** The pages of things, by the prefix of their ids. */
const PAGES: Readonly<Record<string, readonly [path: string, hint: string, icon: Command["icon"]]>> = {
  job: ["/jobs/:id", "Job", "jobs"],
  wkr: ["/workers/:id", "Worker", "worker"],
  sch: ["/schedules/:id", "Schedule", "calendar"],
  wh: ["/webhooks/:id", "Webhook", "webhook"],
};

/** Return the workers and schedules with a text in their name, or what an id names. */
export async function findThings(text: string, signal: AbortSignal): Promise<Command[]> {
  const prefix = ID.exec(text)?.[1];
  if (prefix === "evt") return [{ id: text, label: text, hint: "Event", icon: "event", run: () => router.go(build("/events", {}, { event: text })) }];
  if (prefix) return PAGES[prefix] ? [thing(prefix, text, text)] : [];
  const [workers, schedules] = await Promise.all([
    api.get("/v1/ava/workers", { query: { q: text, per_page: SHOWN, payloads: false }, signal }),
    api.get("/v1/ava/schedules", { query: { q: text, per_page: SHOWN }, signal }),
  ]);
  return [
    ...workers.data.map((worker) => thing("wkr", worker.id, worker.name, `Worker, ${worker.runtime}`)),
    ...schedules.data.map((schedule) => thing("sch", schedule.id, schedule.name ?? schedule.cron)),
  ];
}

function thing(prefix: string, id: string, label: string, hint?: string): Command {
  const [path, kind, icon] = PAGES[prefix] as (typeof PAGES)[string];
  return { id, label, hint: hint ?? kind, icon, run: () => router.go(build(path, { id })) };
}
