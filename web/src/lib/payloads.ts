/**
 * JSON of users stays text until someone looks at it: numbers of any size stay exact, and large ones cost nothing.
 *
 * Text is scanned, never evaluated; every function is linear in what it reads.
 */

declare const raw: unique symbol;
/** The JSON text of a value, as the server sent it. */
export type RawJson = string & { readonly [raw]: true };

/** A struct of the API whose named fields are JSON text. */
export type WithRaw<T, Fields extends string> = {
  readonly [K in keyof T]: K extends Fields ? (unknown extends T[K] ? RawJson | null : RawJson | Extract<T[K], null>) : T[K];
};

const PAYLOADS = new Set(["input", "output", "payload", "data", "config", "template", "metadata"]);
const LINE_PAYLOADS = new Set(["fields"]);
const SCALAR = /[^\s,\]}]*/y;
const SPACE = /\s*/y;

/** Return an answer of the API in which each payload is a string that holds its JSON text. */
export function keepPayloads(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  const replace = (start: number, end: number) => {
    parts.push(text.slice(copied, start), JSON.stringify(text.slice(start, end)));
    copied = end;
  };
  const inStruct = (keys: ReadonlySet<string>) => (start: number) =>
    void members(text, start, (key, from, to) => {
      if (keys.has(key) && text.startsWith("null", from)) return;
      if (keys.has(key)) replace(from, to);
      else if (key === "logs" && text[from] === "[") elements(text, from, ifObject(inStruct(LINE_PAYLOADS)));
    });
  const ifObject = (then: (start: number) => void) => (from: number) => void (text[from] === "{" && then(from));
  const start = skipSpace(text, 0);
  if (text[start] !== "{") return text;
  members(text, start, (key, from) => {
    if (key !== "data") return;
    if (text[from] === "{") inStruct(PAYLOADS)(from);
    else if (text[from] === "[") elements(text, from, ifObject(inStruct(PAYLOADS)));
  });
  return copied ? parts.join("") + text.slice(copied) : text;
}

/** Return a JSON object whose named members are the given JSON texts, unchanged. */
export function withPayloads(body: object, payloads: Readonly<Record<string, string>>): string {
  const own = JSON.stringify(body);
  const added = Object.entries(payloads).map(([key, text]) => `${JSON.stringify(key)}:${text}`);
  if (!added.length) return own;
  return `${own.slice(0, -1)}${own === "{}" ? "" : ","}${added.join(",")}}`;
}

/** Return why a text is no JSON object, with line and column; undefined if it is one. */
export function problemOf(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "Must be a JSON object.";
  } catch (error) {
    return error instanceof Error ? `Is not JSON: ${error.message}` : "Is not JSON.";
  }
}

export type NodeKind = "object" | "array" | "string" | "number" | "boolean" | "null";

/** A value in a JSON text, of which the children are found when they are asked for. */
export interface JsonNode {
  key: string | number | undefined;
  kind: NodeKind;
  start: number;
  end: number;
}

export function rootOf(text: string): JsonNode {
  const start = skipSpace(text, 0);
  return { key: undefined, kind: kindAt(text, start), start, end: valueEnd(text, start) };
}

/** Return at most `limit` children of an object or array, from the one with the number `from`, and how many it has. */
export function childrenOf(text: string, node: JsonNode, from = 0, limit = 100): { children: JsonNode[]; total: number } {
  const children: JsonNode[] = [];
  let total = 0;
  const add = (key: string | number, start: number, end: number) => {
    if (total >= from && children.length < limit) children.push({ key, kind: kindAt(text, start), start, end });
    total += 1;
  };
  if (node.kind === "object") members(text, node.start, add);
  else if (node.kind === "array") elements(text, node.start, (start, end) => add(total, start, end));
  return { children, total };
}

/** Return the JSON text of a member of an object; undefined if it has none, or null. */
export function memberOf(text: string, name: string): RawJson | undefined {
  let found: RawJson | undefined;
  const start = skipSpace(text, 0);
  if (text[start] !== "{") return undefined;
  members(text, start, (key, from, to) => {
    if (key === name && !text.startsWith("null", from)) found = text.slice(from, to) as RawJson;
  });
  return found;
}

/** Return the string that a string's JSON text denotes; of an invalid one the text. */
export function stringOf(text: string, node: JsonNode): string {
  const source = text.slice(node.start, node.end);
  try {
    return String(JSON.parse(source));
  } catch {
    return source;
  }
}

/** Return JSON text with line breaks and indents; numbers and strings are unchanged. */
export function pretty(text: string, indent = "  "): string {
  const out: string[] = [];
  let depth = 0;
  const line = () => out.push("\n", indent.repeat(depth));
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    const character = text[at] as string;
    if (character === "{" || character === "[") {
      const next = skipSpace(text, at + 1);
      if (text[next] === "}" || text[next] === "]") {
        out.push(character, text[next] as string);
        at = next + 1;
        continue;
      }
      out.push(character);
      depth += 1;
      line();
      at += 1;
    } else if (character === "}" || character === "]") {
      depth = Math.max(0, depth - 1);
      line();
      out.push(character);
      at += 1;
    } else if (character === ",") {
      out.push(character);
      line();
      at += 1;
    } else if (character === ":") {
      out.push(": ");
      at += 1;
    } else {
      const end = Math.max(scalarEnd(text, at), at + 1);
      out.push(text.slice(at, end));
      at = end;
    }
  }
  return out.join("");
}

/** Return one line that shows the beginning of a value. */
export function preview(text: string, length = 120): string {
  const head = text.slice(0, length * 2).replace(/\s+/g, " ").trim();
  return head.length > length || text.length > length * 2 ? `${head.slice(0, length)}…` : head;
}

function kindAt(text: string, at: number): NodeKind {
  switch (text[at]) {
    case "{":
      return "object";
    case "[":
      return "array";
    case '"':
      return "string";
    case "t":
    case "f":
      return "boolean";
    case "n":
      return "null";
    default:
      return "number";
  }
}

function members(text: string, start: number, found: (key: string, from: number, to: number) => void): void {
  for (let at = skipSpace(text, start + 1); text[at] === '"'; ) {
    const keyEnd = stringEnd(text, at);
    const key = stringOf(text, { key: undefined, kind: "string", start: at, end: keyEnd });
    const from = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const to = valueEnd(text, from);
    found(key, from, to);
    at = skipSpace(text, to);
    if (text[at] === ",") at = skipSpace(text, at + 1);
    else return;
  }
}

function elements(text: string, start: number, found: (from: number, to: number) => void): void {
  for (let at = skipSpace(text, start + 1); at < text.length && text[at] !== "]"; ) {
    const to = valueEnd(text, at);
    if (to === at) return;
    found(at, to);
    at = skipSpace(text, to);
    if (text[at] === ",") at = skipSpace(text, at + 1);
    else return;
  }
}

function valueEnd(text: string, at: number): number {
  if (text[at] !== "{" && text[at] !== "[") return scalarEnd(text, at);
  let depth = 0;
  for (let position = at; position < text.length; position += 1) {
    const code = text.charCodeAt(position);
    if (code === 0x22) position = stringEnd(text, position) - 1;
    else if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) {
      depth -= 1;
      if (depth === 0) return position + 1;
    }
  }
  return text.length;
}

function scalarEnd(text: string, at: number): number {
  if (text[at] === '"') return stringEnd(text, at);
  SCALAR.lastIndex = at;
  SCALAR.test(text);
  return SCALAR.lastIndex;
}

/** Return the position after the string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  for (let quote = text.indexOf('"', at + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text[quote - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
  }
  return text.length;
}

function skipSpace(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}
