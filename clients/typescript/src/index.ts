/**
 * A typed client of a Runwright server, for Node, Deno and browsers.
 *
 * The three APIs of the server are clients of `openapi-fetch`, with types made from the server's OpenAPI documents:
 *
 *     const rw = createRunwright({ url: "https://runwright.example.com", apiKey });
 *     const { data } = await rw.ava.POST("/v1/ava/jobs", { params: { query: { wait: 30 } }, body: { worker_id, input } });
 *     for await (const line of rw.logs(data.data.id)) console.log(line.msg);
 *
 * Errors are thrown as `ApiError`, so `data` is what a success has.
 */

import createClient, { defaultBodySerializer, type Client, type Middleware } from "openapi-fetch";

import { ApiError, readError } from "./errors.js";
import type { paths as AghPaths } from "./generated/agh.js";
import type { components, paths as AvaPaths } from "./generated/ava.js";
import type { paths as AvalaPaths } from "./generated/avala.js";
import { followEvents, type ServerEvent, type StreamOptions } from "./streams.js";

export { ApiError, readError } from "./errors.js";
export type { components as AghComponents, paths as AghPaths } from "./generated/agh.js";
export type { components as AvaComponents, paths as AvaPaths } from "./generated/ava.js";
export type { components as AvalaComponents, paths as AvalaPaths } from "./generated/avala.js";
export { followEvents, parseEvents, type ServerEvent, type StreamOptions } from "./streams.js";

export type LogLine = components["schemas"]["LogLine"];
export type JobProgress = components["schemas"]["JobProgress"];

/** What is followed of a job: a line of its log, or how far it is. */
export type JobPart = { type: "log"; line: LogLine } | { type: "progress"; progress: JobProgress };

export interface RunwrightOptions {
  /** The address of the server; in a browser by default the page's own. */
  url?: string;
  /** A browser with a session's cookie needs none. */
  apiKey?: string;
  /** Required with a platform key, as are `user` and `role`. */
  tenant?: string;
  user?: string;
  role?: string;
  /** Further headers of every request. */
  headers?: Record<string, string>;
  /** Replaces the platform's `fetch`. */
  fetch?: typeof fetch;
}

export interface LogOptions extends StreamOptions {
  level?: "debug" | "info" | "warn" | "error";
  /** Only lines after the one with this `seq`. */
  after?: number;
}

export interface Runwright {
  /** Workers, jobs, schedules, secrets, webhooks, tenants, keys. */
  readonly ava: Client<AvaPaths>;
  /** Agents and their executions. */
  readonly avala: Client<AvalaPaths>;
  /** Automations. */
  readonly agh: Client<AghPaths>;
  /** The log of a job, from its beginning until the job has ended, across lost connections. */
  logs(jobId: string, options?: LogOptions): AsyncGenerator<LogLine, void, undefined>;
  /** The log of a job and the progress that its handler reports, until the job has ended. */
  follow(jobId: string, options?: LogOptions): AsyncGenerator<JobPart, void, undefined>;
  /** The events of any stream of the server, across lost connections, until the loop is left. */
  events(path: string, options?: StreamOptions): AsyncGenerator<ServerEvent, void, undefined>;
}

export function createRunwright(options: RunwrightOptions = {}): Runwright {
  const baseUrl = (options.url ?? "").replace(/\/+$/, "");
  const headers = headersOf(options);
  const shared = { baseUrl, headers, bodySerializer, ...(options.fetch && { fetch: options.fetch }) };
  const events = (path: string, stream: StreamOptions = {}) =>
    followEvents(baseUrl + path, { headers, ...(options.fetch && { fetch: options.fetch }), ...stream });
  return {
    ava: throwing(createClient<AvaPaths>(shared)),
    avala: throwing(createClient<AvalaPaths>(shared)),
    agh: throwing(createClient<AghPaths>(shared)),
    events,
    logs: (jobId, log = {}) => linesOf(followJob(events, jobId, log)),
    follow: (jobId, log = {}) => followJob(events, jobId, log),
  };
}

async function* linesOf(parts: AsyncIterable<JobPart>): AsyncGenerator<LogLine, void, undefined> {
  for await (const part of parts) if (part.type === "log") yield part.line;
}

async function* followJob(
  events: Runwright["events"],
  jobId: string,
  { level, after = 0, ...stream }: LogOptions,
): AsyncGenerator<JobPart, void, undefined> {
  const query = new URLSearchParams({ after: String(after), ...(level && { "filter[level]": level }) });
  const path = `/v1/ava/jobs/${encodeURIComponent(jobId)}/logs/stream?${query}`;
  for await (const event of events(path, stream)) {
    if (event.type === "end") return;
    if (event.type === "log") yield { type: "log", line: JSON.parse(event.data) as LogLine };
    if (event.type === "progress") yield { type: "progress", progress: JSON.parse(event.data) as JobProgress };
  }
}

function headersOf({ apiKey, tenant, user, role, headers }: RunwrightOptions): Record<string, string> {
  return {
    ...(apiKey && { authorization: `Bearer ${apiKey}`, "x-avala-api-key": apiKey }),
    ...(tenant && { "x-tenant-id": tenant }),
    ...(user && { "x-user-id": user }),
    ...(role && { "x-platform-role": role }),
    ...headers,
  };
}

/** Like the default, but for numbers that JSON does not have: `JSON.stringify` would send null for them. */
function bodySerializer(body: unknown, headers?: unknown): unknown {
  if (!(body instanceof FormData)) JSON.stringify(body, requireFinite);
  return (defaultBodySerializer as (body: unknown, headers?: unknown) => unknown)(body, headers);
}

function requireFinite(key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`${key || "The body"} is ${value}: JSON has no such number.`);
  }
  return value;
}

const THROW: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await readError(response);
    return undefined;
  },
};

function throwing<Paths extends {}>(client: Client<Paths>): Client<Paths> {
  client.use(THROW);
  return client;
}

/** Whether an error is the server's refusal, with this status if one is given. */
export function isApiError(error: unknown, status?: number): error is ApiError {
  return error instanceof ApiError && (status === undefined || error.status === status);
}
