/** Where the dashboard is: the path below which the server serves it, without a slash at its end. */

export const BASE = new URL(document.baseURI).pathname.replace(/\/+$/, "");

/** Return the address of a path of the server, for links and requests. */
export function at(path: string): string {
  return BASE + path;
}
