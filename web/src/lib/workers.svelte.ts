/** The names of the tenant's workers, for pages that know their ids. */

import { api } from "./client.ts";
import { resource } from "./resource.svelte.ts";

const MOST = 100;

/** Return the workers whose names are known. Call it while a component is made. */
export function useWorkers() {
  const read = resource(
    async (signal) => (await api.get("/v1/ava/workers", { query: { per_page: MOST, payloads: false }, signal })).data,
    { on: ["ava.worker."] },
  );
  const names = $derived(new Map((read.data ?? []).map((worker) => [worker.id, worker.name])));
  return {
    get list() {
      return read.data ?? [];
    },
    get options() {
      return (read.data ?? []).map((worker) => ({ value: worker.id, label: worker.name, hint: worker.runtime as string }));
    },
    /** The name of a worker, else its id. */
    nameOf: (id: string) => names.get(id) ?? id,
  };
}
