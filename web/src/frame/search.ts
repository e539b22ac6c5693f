/** What the palette finds on the server. */

import { api } from "../lib/client.ts";
import { router } from "../lib/router.svelte.ts";
import { build } from "../lib/routes.ts";
import type { Command } from "../ui/Palette.svelte";

const JOB = /^job_[0-9a-z]{26}$/;

/** Return the workers with a text in their name, and the job that an id names. */
export async function findThings(text: string, signal: AbortSignal): Promise<Command[]> {
  if (JOB.test(text)) {
    return [{ id: text, label: text, hint: "Job", icon: "jobs", run: () => router.go(build("/jobs/:id", { id: text })) }];
  }
  const { data } = await api.get("/v1/ava/workers", { query: { q: text, per_page: 8 }, signal });
  return data.map((worker) => ({
    id: worker.id,
    label: worker.name,
    hint: `Worker, ${worker.runtime}`,
    icon: "worker",
    run: () => router.go(build("/workers/:id", { id: worker.id })),
  }));
}
