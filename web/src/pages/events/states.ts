/** What an event says about what it is about: the state in which that is shown. */

import { memberOf } from "../../lib/payloads.ts";
import { isState } from "../../ui/statuses.ts";

/** Its end says more than it is: it is tried again. */
const TRIED_AGAIN = new Set(["ava.attempt.failed", "ava.delivery.failed"]);
/** Not an outcome yet: the event's own type says more. */
const OPEN = new Set(["scheduled", "running", "pending"]);

/**
 * Return the state that an event reports, by what its data says before what its type is called: a run that could not
 * begin was fired, and a firing that was missed was skipped. Undefined where it reports no outcome.
 */
export function stateOfEvent(event: { type: string; data: string | null }): string | undefined {
  if (!event.type.startsWith("ava.")) return undefined;
  if (TRIED_AGAIN.has(event.type)) return "retrying";
  const given = [textOf(event.data, "status"), textOf(event.data, "action")];
  const found = [...given, event.type.slice(event.type.lastIndexOf(".") + 1)];
  return found.find((state) => state !== undefined && !OPEN.has(state) && isState(state));
}

function textOf(data: string | null, name: string): string | undefined {
  const text = data === null ? undefined : memberOf(data, name);
  return text && /^"(\w+)"$/.exec(text)?.[1];
}
