/** Server-sent events over `fetch`, which, unlike `EventSource`, can send a key, and is in Node too. */

import { ApiError, readError } from "./errors.js";

export interface ServerEvent {
  type: string;
  data: string;
  /** What `Last-Event-ID` continues after. */
  id: string;
}

export interface StreamOptions {
  headers?: Record<string, string>;
  fetch?: typeof fetch;
  /** Ends the stream. */
  signal?: AbortSignal;
  /** How often in a row the stream is opened without bringing an event. */
  retries?: number;
  /** Continue after this event. */
  lastEventId?: string;
}

const SILENCE_MS = 45_000;
const LONGEST_PAUSE_MS = 5_000;
/** A server that asks for a longer pause is not waited for. */
const LONGEST_WAIT_SECONDS = 60;

/** Yield the events of a stream; it is opened again, after the last event, whenever the connection is lost. */
export async function* followEvents(
  url: string,
  { headers = {}, fetch: send = fetch, signal, retries = 4, lastEventId = "" }: StreamOptions = {},
): AsyncGenerator<ServerEvent, void, undefined> {
  let last = lastEventId;
  for (let attempt = 0; !signal?.aborted; attempt += 1) {
    let lost: unknown = new Error("The stream ended before it was complete.");
    try {
      for await (const event of openStream(url, send, { ...headers, ...(last && { "last-event-id": last }) }, signal)) {
        last = event.id || last;
        attempt = 0;
        yield event;
        if (signal?.aborted) return;
      }
    } catch (error) {
      lost = error;
    }
    if (signal?.aborted) return;
    if (attempt >= retries || !mayRetry(lost)) throw lost;
    await pause(pauseMs(lost, attempt), signal);
  }
}

async function* openStream(
  url: string,
  send: typeof fetch,
  headers: Record<string, string>,
  signal?: AbortSignal,
): AsyncGenerator<ServerEvent, void, undefined> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  const stop = () => silent.abort();
  signal?.addEventListener("abort", stop);
  try {
    const response = await send(url, {
      headers: { ...headers, accept: "text/event-stream" },
      signal: silent.signal,
      cache: "no-store",
    });
    if (!response.ok) throw await readError(response);
    if (!response.body) return;
    yield* parseEvents(response.body, () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    silent.abort();
  }
}

/** Yield the complete events of a body; `heard` is called for each part that arrives, comments too. */
export async function* parseEvents(
  body: ReadableStream<Uint8Array>,
  heard: () => void = () => {},
): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let event = { type: "", data: [] as string[] };
  let id = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      text += decoder.decode(value, { stream: true });
      // A CR at the end may be the first half of CRLF.
      for (let found = /\r\n|\n|\r(?!$)/.exec(text); found; found = /\r\n|\n|\r(?!$)/.exec(text)) {
        const line = text.slice(0, found.index);
        text = text.slice(found.index + found[0].length);
        if (line === "") {
          if (event.data.length) yield { type: event.type || "message", data: event.data.join("\n"), id };
          event = { type: "", data: [] };
          continue;
        }
        const [name, value] = fieldOf(line);
        if (name === "event") event.type = value;
        else if (name === "data") event.data.push(value);
        else if (name === "id" && !value.includes("\0")) id = value;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  const value = line.slice(colon + 1);
  return [line.slice(0, colon), value.startsWith(" ") ? value.slice(1) : value];
}

function mayRetry(error: unknown): boolean {
  if (!(error instanceof ApiError)) return true;
  return [429, 502, 503, 504].includes(error.status) && (error.retryAfter ?? 0) <= LONGEST_WAIT_SECONDS;
}

function pauseMs(error: unknown, attempt: number): number {
  if (error instanceof ApiError && error.retryAfter !== undefined) return error.retryAfter * 1000;
  return Math.min(LONGEST_PAUSE_MS, 200 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}
