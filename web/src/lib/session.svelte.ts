/** Who is signed in, what they may do, and what happens when a session ends. */

import { BASE } from "./base.ts";
import { ApiError, api, useCredentials, type Session, type Whoami } from "./client.ts";

export type Role = Whoami["role"];
export type Scope = Whoami["key"]["scopes"][number];

const RANKS: readonly Role[] = ["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"];

/** The session was not renewed, so the request was not sent. */
export class SignedOutError extends Error {
  override readonly name = "SignedOutError";

  constructor() {
    super("You are signed out.");
  }
}

class CurrentSession {
  /** `unknown` until the server has been asked. */
  state = $state<"unknown" | "out" | "in">("unknown");
  caller = $state.raw<Whoami | undefined>();
  /** Requests wait for the person to sign in again. */
  ended = $state(false);
  /** Why the session could not be read at the start. */
  problem = $state.raw<unknown>();

  #token = "";
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];

  /** Ask the server for the session of this browser. */
  async start(): Promise<void> {
    this.problem = undefined;
    try {
      const asked = fetch(`${BASE}/v1/ava/whoami`);
      asked.catch(() => {}); // the session is asked for as well, and fails alike
      const response = await fetch(`${BASE}/v1/session`);
      if (response.ok) await this.#enter(((await response.json()) as { data: Session }).data, asked);
      else if (response.status === 401 || response.status === 403 || response.status === 404) this.state = "out";
      else this.problem = new ApiError("The server does not answer as it should.", response.status, `http_${response.status}`);
    } catch (error) {
      this.problem = error;
    }
  }

  /** Sign in with a key; a platform key needs the tenant and the user to act for. */
  async signIn(key: string, acting?: { tenant: string; user: string; role: Role }): Promise<void> {
    const headers: Record<string, string> = { authorization: `Bearer ${key}` };
    if (acting) {
      headers["x-tenant-id"] = acting.tenant;
      headers["x-user-id"] = acting.user;
      headers["x-platform-role"] = acting.role;
    }
    await this.#enter(await post("/v1/session", {}, headers));
  }

  /** Spend a sign-in link. */
  async redeem(token: string): Promise<void> {
    await this.#enter(await post("/v1/session/redeem", { token }));
  }

  async signOut(): Promise<void> {
    await api.delete("/v1/session");
    this.leave();
  }

  /** Give up what waits for the session, and show the sign-in page. */
  leave(): void {
    this.ended = false;
    for (const { reject } of this.#waiting.splice(0)) reject(new SignedOutError());
    this.caller = undefined;
    this.#token = "";
    this.state = "out";
  }

  /** Whether the caller has a role, and a key with a scope. What is hidden is not protected: the server decides. */
  may(role: Role, scope?: Scope): boolean {
    const caller = this.caller;
    if (!caller || RANKS.indexOf(caller.role) < RANKS.indexOf(role)) return false;
    return scope === undefined || caller.key.scopes.includes(scope);
  }

  token(): string {
    return this.#token;
  }

  async refresh(): Promise<boolean> {
    const before = this.#token;
    const response = await fetch(`${BASE}/v1/session`);
    if (response.ok) this.#token = ((await response.json()) as { data: Session }).data.csrf_token;
    return this.#token !== before;
  }

  renew(): Promise<void> {
    if (this.state === "out") return Promise.reject(new SignedOutError());
    this.ended = true;
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async #enter(session: Session, asked: Promise<Response> = fetch(`${BASE}/v1/ava/whoami`)): Promise<void> {
    const before = this.caller;
    this.#token = session.csrf_token;
    const response = await asked;
    if (!response.ok) throw new ApiError("The session was refused.", response.status, `http_${response.status}`);
    const caller = ((await response.json()) as { data: Whoami }).data;
    if (before && (before.tenant_id !== caller.tenant_id || before.user_id !== caller.user_id)) {
      // What is on the page belongs to another user.
      for (const { reject } of this.#waiting.splice(0)) reject(new SignedOutError());
    }
    this.caller = caller;
    this.state = "in";
    this.ended = false;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }
}

async function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Session> {
  const response = await fetch(BASE + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer = (await response.json().catch(() => undefined)) as
    | { data?: Session; error?: { code: string; message: string } }
    | undefined;
  if (response.ok && answer?.data) return answer.data;
  throw new ApiError(
    answer?.error?.message ?? `The answer was ${response.status}.`,
    response.status,
    answer?.error?.code ?? `http_${response.status}`,
    {},
    response.headers.get("x-request-id") ?? undefined,
  );
}

export const session = new CurrentSession();
useCredentials(session);
