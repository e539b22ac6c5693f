/** Which rows of a long list are drawn. */

export interface Window {
  /** The first row that is drawn, and the one after the last. */
  start: number;
  end: number;
  /** Pixels above and below the drawn rows. */
  before: number;
  after: number;
}

const OVERSCAN = 12;

/** Return the rows that are seen, and `overscan` more at each side; near an end of the list more at the other side. */
export function windowOf(total: number, rowHeight: number, top: number, height: number, overscan = OVERSCAN): Window {
  const size = Math.min(total, poolOf(rowHeight, height, overscan));
  const first = Math.floor(Math.max(0, top) / rowHeight) - overscan;
  const start = Math.max(0, Math.min(first, total - size));
  return { start, end: start + size, before: start * rowHeight, after: (total - start - size) * rowHeight };
}

/** Return how many rows of a long list are drawn, wherever one is. */
export function poolOf(rowHeight: number, height: number, overscan = OVERSCAN): number {
  return Math.ceil(height / rowHeight) + 1 + 2 * overscan;
}

/**
 * Return which row an element shows of those that begin at `start`, where `pool` elements show rows one after another, and
 * each takes the next row that comes when its own has left: so only the elements of rows that come and go change.
 */
export function rowOf(slot: number, start: number, pool: number): number {
  return start + modulo(slot - start, pool);
}

/** Return the elements that show `count` rows, in the order of these. */
export function slotsFrom(start: number, count: number, pool: number): number[] {
  return Array.from({ length: count }, (_, index) => modulo(start + index, pool));
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
