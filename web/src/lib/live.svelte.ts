/**
 * What happens on the server, as it happens: one stream for all tabs of a browser.
 *
 * Browsers open six connections to a server over HTTP/1.1, so tabs share one stream: the tab that holds a lock reads it
 * and passes everything on. Where there are no locks (plain http), each visible tab has its own stream. A tab that hears
 * nothing for 30 seconds says so, and everything shown is read again when it hears something.
 */

import { ApiError } from "runwright-client";

import { BASE } from "./base.ts";
import { runwright } from "./client.ts";
import { SignedOutError } from "./session.svelte.ts";

export interface LiveEvent {
  id: string;
  type: string;
  subject_id: string;
  worker_id: string | null;
  created_at: string;
  data: Record<string, unknown> | null;
}

type Message =
  | { kind: "open"; version: string }
  | { kind: "event"; event: LiveEvent; position: string }
  | { kind: "heard"; position: string }
  | { kind: "gone" }
  | { kind: "lost" }
  | { kind: "hello" };

const SILENCE_MS = 30_000;
const CHECK_MS = 5_000;
const LONGEST_PAUSE_MS = 20_000;
const FAILURES_SHOWN = 2;

type Listener = (event: LiveEvent) => void;

class Live {
  state = $state<"connecting" | "live" | "lost">("connecting");
  /** The version of the server that sends the stream. */
  version = $state<string | undefined>();
  /** Counts the times after which everything must be read again. */
  gaps = $state(0);

  #listeners = new Set<Listener>();
  #channel: BroadcastChannel | undefined;
  #leads = false;
  #heardAt = 0;
  #position = "";
  #connection = new AbortController();

  /** Follow the events of a tenant until the result is called. `name` is the same in all tabs of one caller. */
  start(name: string): () => void {
    const stop = new AbortController();
    this.#channel = new BroadcastChannel(`runwright ${BASE} ${name}`);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#receive(data);
    this.#heardAt = performance.now();
    this.state = "connecting";
    const timer = setInterval(() => this.#check(), CHECK_MS);
    if (navigator.locks) {
      this.#say({ kind: "hello" });
      const locked = navigator.locks.request(`runwright ${BASE} ${name}`, { signal: stop.signal }, () => this.#lead(stop.signal));
      locked.catch(() => {}); // stopped while it waited
    } else this.#leadWhileVisible(stop.signal);
    return () => {
      stop.abort();
      clearInterval(timer);
      this.#channel?.close();
      this.#channel = undefined;
      this.#position = "";
    };
  }

  /** Call a function for each event of some types: `ava.job.` selects all that begin with it, `*` all. */
  on(types: readonly string[], listener: Listener): () => void {
    const fits = (type: string) => types.some((one) => one === "*" || (one.endsWith(".") ? type.startsWith(one) : type === one));
    const own: Listener = (event) => fits(event.type) && listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Try again now. */
  retry(): void {
    this.#connection.abort();
  }

  #say(message: Message): void {
    this.#channel?.postMessage(message);
  }

  #receive(message: Message): void {
    if (message.kind === "hello") {
      if (this.#leads && this.state === "live" && this.version) this.#say({ kind: "open", version: this.version });
      return;
    }
    if (message.kind === "lost") {
      this.state = "lost";
      return;
    }
    this.#heard();
    if (message.kind === "open") this.version = message.version;
    if (message.kind === "gone") this.gaps += 1;
    if ("position" in message && message.position) this.#position = message.position;
    if (message.kind === "event") for (const listener of this.#listeners) listener(message.event);
  }

  #heard(): void {
    this.#heardAt = performance.now();
    if (this.state === "lost") this.gaps += 1;
    this.state = "live";
  }

  #check(): void {
    if (performance.now() - this.#heardAt < SILENCE_MS) return;
    this.state = "lost";
    this.#connection.abort();
  }

  #pass(message: Message): void {
    this.#receive(message);
    this.#say(message);
  }

  #leadWhileVisible(stop: AbortSignal): void {
    let hidden = new AbortController();
    const change = () => {
      hidden.abort();
      if (document.hidden || stop.aborted) return;
      hidden = new AbortController();
      void this.#lead(AbortSignal.any([stop, hidden.signal]));
    };
    document.addEventListener("visibilitychange", change, { signal: stop });
    stop.addEventListener("abort", change);
    change();
  }

  async #lead(stop: AbortSignal): Promise<void> {
    this.#leads = true;
    for (let failures = 0; !stop.aborted; ) {
      this.#connection = new AbortController();
      try {
        await this.#read(AbortSignal.any([stop, this.#connection.signal]), () => (failures = 0));
      } catch (error) {
        if (error instanceof SignedOutError || (error instanceof ApiError && error.status === 403)) break;
      }
      if (stop.aborted) break;
      failures += 1;
      if (failures >= FAILURES_SHOWN) this.#pass({ kind: "lost" });
      await pause(failures, AbortSignal.any([stop, this.#connection.signal]));
    }
    this.#leads = false;
  }

  async #read(signal: AbortSignal, heard: () => void): Promise<void> {
    const since = this.#position ? { lastEventId: this.#position } : {};
    for await (const { type, data, id } of runwright.events("/v1/ava/stream", { signal, retries: 0, ...since })) {
      heard();
      const parsed = JSON.parse(data) as Record<string, unknown>;
      if (type === "open") this.#pass({ kind: "open", version: String(parsed["server_version"]) });
      else if (type === "gone") this.#pass({ kind: "gone" });
      else if (type === "event" || type === "log") this.#pass({ kind: "event", event: eventOf(parsed), position: id });
      else this.#pass({ kind: "heard", position: id });
    }
  }
}

function eventOf(parsed: Record<string, unknown>): LiveEvent {
  return { id: "", worker_id: null, created_at: "", data: null, ...parsed } as unknown as LiveEvent;
}

/** Wait longer after each failure, not all tabs of the world at once, and not when the network has just come back. */
function pause(failures: number, signal: AbortSignal): Promise<void> {
  const ms = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures) * (0.5 + Math.random() / 2);
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    }
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

export const live = new Live();
