/** Short messages about what has just been done. */

import { ApiError, messageOf } from "./client.ts";
import { SignedOutError } from "./session.svelte.ts";

export interface Toast {
  id: number;
  kind: "good" | "bad" | "info";
  title: string;
  detail?: string | undefined;
  /** What can be done about it, such as undo. */
  action?: { label: string; run: () => void } | undefined;
}

const SHOWN_MS = 6_000;
const MOST = 4;

class Toasts {
  list = $state<Toast[]>([]);
  #last = 0;

  show(toast: Omit<Toast, "id">): void {
    const id = (this.#last += 1);
    this.list = [...this.list, { ...toast, id }].slice(-MOST);
    // An error stays until it was read.
    if (toast.kind !== "bad") setTimeout(() => this.close(id), SHOWN_MS);
  }

  good(title: string, action?: Toast["action"]): void {
    this.show({ kind: "good", title, action });
  }

  /** Show what the server said about a failure. */
  failed(title: string, error: unknown): void {
    if (error instanceof SignedOutError) return;
    const request = error instanceof ApiError && error.requestId ? ` (request ${error.requestId})` : "";
    this.show({ kind: "bad", title, detail: messageOf(error) + request });
  }

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
