/** Which rows of a long list are drawn. */

export interface Window {
  /** The first row that is drawn, and the one after the last. */
  start: number;
  end: number;
  /** Pixels above and below the drawn rows. */
  before: number;
  after: number;
}

/** Rows come and go in steps: larger ones cost less in all, smaller ones leave each frame more time. */
const STEP = 2;

/** Return the rows that are seen, and `overscan` more at each side, up to the next step. */
export function windowOf(total: number, rowHeight: number, top: number, height: number, overscan = 12): Window {
  const first = Math.floor(Math.max(0, top) / rowHeight) - overscan;
  const start = Math.min(Math.max(0, Math.floor(first / STEP) * STEP), Math.max(0, total - 1));
  const last = Math.ceil((Math.max(0, top) + height) / rowHeight) + overscan;
  const end = Math.min(total, Math.ceil(last / STEP) * STEP);
  return { start, end: Math.max(start, end), before: start * rowHeight, after: Math.max(0, total - Math.max(start, end)) * rowHeight };
}
