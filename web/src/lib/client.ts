/**
 * The client of the server's APIs: with the session's cookie, and CSRF token for writes.
 *
 * A request that the server refuses because the session has ended waits for the person to sign in again, and is then
 * sent again, so nothing that was typed is lost.
 */

import { ApiError, createRunwright, readError, type AvaComponents, type AvaPaths } from "runwright-client";

import { BASE } from "./base.ts";
import { keepPayloads, withPayloads, type WithRaw } from "./payloads.ts";

type Schemas = AvaComponents["schemas"];

export type Job = WithRaw<Schemas["Job"], "input" | "output">;
export type JobStatus = Schemas["JobStatus"];
export type Attempt = Schemas["Attempt"];
export type Explanation = Schemas["Explanation"];
export type LogLine = WithRaw<Schemas["LogLine"], "fields">;
export type Worker = WithRaw<Schemas["Worker"], "config">;
export type Version = Schemas["Version"];
export type Whoami = Schemas["Whoami"];
export type Session = Schemas["Session"];
export type { Schemas };

/** The query of a path that can be read. */
export type QueryOf<Path extends keyof AvaPaths> = AvaPaths[Path] extends {
  readonly get: { readonly parameters: { readonly query?: infer Query } };
}
  ? NonNullable<Query>
  : never;

export { ApiError };

/** What the client asks of the session. */
export interface Credentials {
  /** The CSRF token of the session. */
  token(): string;
  /** Read the session again; true if its token has changed. */
  refresh(): Promise<boolean>;
  /** The session has ended: return when there is one again. Rejects where the person gives up. */
  renew(): Promise<void>;
}

let credentials: Credentials | undefined;

/** Let requests use a session. */
export function useCredentials(own: Credentials): void {
  credentials = own;
}

const READING = new Set(["GET", "HEAD", "OPTIONS"]);
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

async function send(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await exchange(input, init);
  const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
  if (!response.ok || !isJson || response.status === 204) return response;
  return new Response(keepPayloads(await response.text()), { status: response.status, headers: response.headers });
}

async function exchange(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, { ...init, credentials: "same-origin" });
  const again = request.clone();
  let response = await fetch(signed(request));
  if (response.status === UNAUTHORIZED && credentials) {
    await credentials.renew();
    response = await fetch(signed(again));
  } else if (response.status === FORBIDDEN && !READING.has(request.method) && (await credentials?.refresh())) {
    response = await fetch(signed(again));
  }
  return response;
}

/** Return what an address of the server answers, as text: JSON in which every number is as it was sent. */
export async function textOf(path: string, signal?: AbortSignal): Promise<string> {
  const response = await exchange(BASE + path, signal ? { signal } : {});
  if (!response.ok) throw await readError(response);
  return response.text();
}

/** Send a file as the body of a request, and return its answer. */
export async function upload<T>(path: string, file: Blob, signal?: AbortSignal): Promise<T> {
  const body = { method: "POST", body: file, headers: { "content-type": file.type || "application/zip" } };
  const response = await exchange(BASE + path, signal ? { ...body, signal } : body);
  if (!response.ok) throw await readError(response);
  return (await response.json()) as T;
}

function signed(request: Request): Request {
  if (credentials && !READING.has(request.method)) request.headers.set("x-csrf-token", credentials.token());
  return request;
}

export const runwright = createRunwright({ url: BASE, fetch: send });

type Paths = AvaPaths;
type Method = "get" | "post" | "put" | "patch" | "delete";
type PathsWith<M extends Method> = { [P in keyof Paths]: Paths[P][M] extends object ? P : never }[keyof Paths];
type ContentOf<R> = R extends { content: { "application/json": infer Body } } ? Body : undefined;
type Success<R> = { [S in keyof R & (200 | 201 | 202 | 204)]: ContentOf<R[S]> }[keyof R & (200 | 201 | 202 | 204)];
type AnswerOf<O> = O extends { responses: infer R } ? Success<R> : never;
type ParameterOf<O, In extends string> = O extends { parameters: { [K in In]?: infer Values } } ? NonNullable<Values> : never;
type BodyOf<O> = O extends { requestBody?: infer B } ? ContentOf<NonNullable<B>> : never;

export interface Call<O> {
  path?: ParameterOf<O, "path">;
  query?: ParameterOf<O, "query">;
  body?: BodyOf<O>;
  /** Members of the body that are JSON text, sent as it is. */
  payloads?: Readonly<Record<string, string>>;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** Call an operation of AVA and return its answer; a refusal is thrown as `ApiError`. */
async function call<M extends Method, P extends PathsWith<M>>(method: M, path: P, options: Call<Paths[P][M]> = {}): Promise<AnswerOf<Paths[P][M]>> {
  const { body, payloads, headers, signal } = options;
  const sent = {
    params: { path: options.path, query: options.query },
    ...(payloads && { body: {}, bodySerializer: () => withPayloads(body ?? {}, payloads), headers: { "content-type": "application/json", ...headers } }),
    ...(!payloads && { body, headers }),
    ...(signal && { signal }),
  };
  const { data } = await runwright.ava.request(method, path as never, sent as never);
  return data as AnswerOf<Paths[P][M]>;
}

export const api = {
  get: <P extends PathsWith<"get">>(path: P, options?: Call<Paths[P]["get"]>) => call("get", path, options),
  post: <P extends PathsWith<"post">>(path: P, options?: Call<Paths[P]["post"]>) => call("post", path, options),
  put: <P extends PathsWith<"put">>(path: P, options?: Call<Paths[P]["put"]>) => call("put", path, options),
  patch: <P extends PathsWith<"patch">>(path: P, options?: Call<Paths[P]["patch"]>) => call("patch", path, options),
  delete: <P extends PathsWith<"delete">>(path: P, options?: Call<Paths[P]["delete"]>) => call("delete", path, options),
};

/** Return an answer with its payloads typed as the text that they are here. */
export function rawly<T>(answer: unknown): T {
  return answer as T;
}

/** Return what an error says to a person. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError) return "The server cannot be reached.";
  return error instanceof Error ? error.message : String(error);
}
