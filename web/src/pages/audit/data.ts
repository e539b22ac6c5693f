/** The audit log, as its page reads it. */

import type { Schemas } from "../../lib/client.ts";

/** Families of actions, and the ones most asked for. */
export const ACTIONS = [
  "worker.*", "job.*", "schedule.*", "secret.*", "webhook.*", "key.*", "agent.*", "execution.*", "session.*", "tenant.*",
  "worker.deploy", "worker.rollback", "secret.put", "key.create", "key.revoke", "execution.review",
] as const;

const COLUMNS = ["created_at", "tenant_id", "user_id", "role", "key_id", "action", "subject_id", "request_id", "before_hash", "after_hash", "id"] as const;

/** Return entries as CSV; what a spreadsheet would take for a formula is text. */
export function toCsv(entries: readonly Schemas["AuditEntry"][]): string {
  const cell = (value: string | null) => {
    const text = value ?? "";
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  return [COLUMNS.join(","), ...entries.map((entry) => COLUMNS.map((name) => cell(entry[name])).join(","))].join("\r\n");
}
