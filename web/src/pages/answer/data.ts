/** A linked question, as the person with its link reads and answers it: with the link's token, and without any cookie. */

import { readError } from "runwright-client";

import { at } from "../../lib/base.ts";
import type { Schemas } from "../../lib/client.ts";
import { keepPayloads, type WithRaw } from "../../lib/payloads.ts";

export type LinkedQuestion = WithRaw<Schemas["LinkedQuestion"], "payload">;

const PATH = "/v1/shared/question";

async function send(path: string, token: string, more: RequestInit): Promise<LinkedQuestion> {
  const response = await fetch(at(path), {
    credentials: "omit",
    referrerPolicy: "no-referrer",
    cache: "no-store",
    ...more,
    headers: { authorization: `Bearer ${token}`, ...(more.body ? { "content-type": "application/json" } : {}) },
  });
  if (!response.ok) throw await readError(response);
  return (JSON.parse(keepPayloads(await response.text())) as { data: LinkedQuestion }).data;
}

export function readQuestion(token: string, signal: AbortSignal): Promise<LinkedQuestion> {
  return send(PATH, token, { signal });
}

/** Answer, which uses the link. */
export function submitAnswer(token: string, answer: string, note: string): Promise<LinkedQuestion> {
  return send(`${PATH}/answer`, token, { method: "POST", body: JSON.stringify({ answer, note: note.trim() || null }) });
}
