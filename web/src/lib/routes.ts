/** Paths of pages: `/jobs/:id` against `/jobs/job_1`. */

export type Params = Readonly<Record<string, string>>;

/** Return the parameters of a path that a pattern fits; undefined if it does not. */
export function match(pattern: string, path: string): Params | undefined {
  const expected = segments(pattern);
  const given = segments(path);
  if (expected.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of expected.entries()) {
    const value = given[index] as string;
    if (part.startsWith(":")) {
      const decoded = decode(value);
      if (decoded === undefined) return undefined;
      params[part.slice(1)] = decoded;
    } else if (part !== value) return undefined;
  }
  return params;
}

/** Return a path with its parameters and, in a stable order, what is set of a query. */
export function build(pattern: string, params: Params = {}, query: Readonly<Record<string, string | undefined>> = {}): string {
  const path = pattern.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
  const set = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "");
  const text = new URLSearchParams(set).toString();
  return text ? `${path}?${text}` : path;
}

/** Return an address only if a click on it may leave the page: never a script. */
export function safeAddress(text: string): string | undefined {
  try {
    const { protocol, href } = new URL(text);
    return protocol === "https:" || protocol === "http:" ? href : undefined;
  } catch {
    return undefined;
  }
}

function segments(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
