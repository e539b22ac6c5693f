/** Workers, as their pages read them. */

import { api, rawly, type Schemas, type Worker } from "../../lib/client.ts";
import { fieldsOf, presetsOf, textOf } from "../../lib/input-form.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";

export const ON_WORKERS = ["ava.worker."] as const;
export const PAGE_SIZE = 50;
export const RUNTIMES = ["python", "nodejs", "deno", "shell", "wasm"] as const;
export const STATUSES = ["active", "paused", "deprecated"] as const;

export type Runtime = (typeof RUNTIMES)[number];
export type Version = Schemas["Version"];

export interface WorkerFilter {
  status?: string | undefined;
  runtime?: string | undefined;
  newest?: string | undefined;
  q?: string | undefined;
}

export async function listWorkers({ status, runtime, newest, q }: WorkerFilter, cursor: string | undefined, signal: AbortSignal): Promise<ListPage<Worker>> {
  const query = {
    per_page: PAGE_SIZE,
    payloads: false,
    ...(status && { "filter[status]": status as Worker["status"] }),
    ...(runtime && { "filter[runtime]": runtime as Runtime }),
    ...(newest && { "filter[newest_version]": newest as Version["status"] }),
    ...(q && { q }),
    ...(cursor && { cursor }),
  };
  const { data, pagination } = await api.get("/v1/ava/workers", { query, signal });
  return { rows: rawly<Worker[]>(data), total: pagination.total, next: pagination.next_cursor ?? undefined };
}

export async function getWorker(id: string, signal?: AbortSignal): Promise<Worker> {
  return rawly<Worker>((await api.get("/v1/ava/workers/{worker_id}", { path: { worker_id: id }, signal })).data);
}

/** Where the code of a worker is by default. */
export const FILES: Readonly<Record<Runtime, string>> = { python: "main.py", nodejs: "index.js", deno: "main.ts", shell: "main.sh", wasm: "main.wasm" };

/** What a new worker begins with. */
export const TEMPLATES: Readonly<Record<Runtime, string>> = {
  python: `def handler(input, env):
    name = input.get("name", "world")
    print(f"Greeting {name}")
    return {"text": f"Hello {name}"}
`,
  nodejs: `export default async function handler(input, env) {
  const name = input.name ?? "world";
  console.log(\`Greeting \${name}\`);
  return { text: \`Hello \${name}\` };
}
`,
  deno: `export default async function handler(input: { name?: string }, env: Record<string, string>) {
  const name = input.name ?? "world";
  console.log(\`Greeting \${name}\`);
  return { text: \`Hello \${name}\` };
}
`,
  shell: `name=$(jq -r '.name // "world"')
echo "Greeting $name" >&2
jq -n --arg name "$name" '{text: ("Hello " + $name)}'
`,
  wasm: "",
};

/** Return what the input of a run begins with: the presets of a form, or an example where there is no form. */
export function firstInput(schema: unknown): string {
  const fields = fieldsOf(schema);
  return fields ? textOf(fields, presetsOf(fields)) : exampleInput(schema);
}

/** Return an input that fits a schema as far as its defaults, examples and types say, as JSON. */
function exampleInput(schema: unknown): string {
  const value = example(schema, 0);
  return JSON.stringify(typeof value === "object" && value !== null ? value : {}, null, 2);
}

function example(schema: unknown, depth: number): unknown {
  if (typeof schema !== "object" || schema === null || depth > 4) return null;
  const { default: preset, examples, enum: choices, const: only, type, properties, items } = schema as Record<string, unknown>;
  if (preset !== undefined) return preset;
  if (only !== undefined) return only;
  if (Array.isArray(examples) && examples.length) return examples[0];
  if (Array.isArray(choices) && choices.length) return choices[0];
  const kind = Array.isArray(type) ? type[0] : type;
  if (kind === "object" || properties) {
    const entries = Object.entries((properties ?? {}) as Record<string, unknown>).slice(0, 50);
    return Object.fromEntries(entries.map(([name, inner]) => [name, example(inner, depth + 1)]));
  }
  if (kind === "array") return items ? [example(items, depth + 1)] : [];
  return { string: "", integer: 0, number: 0, boolean: false }[String(kind)] ?? null;
}
