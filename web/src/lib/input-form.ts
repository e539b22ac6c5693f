/**
 * A form made from the JSON Schema of a worker's input.
 *
 * Each field keeps JSON or plain text, never a parsed value: numbers of any size are sent as they were typed. What a form
 * cannot show (unions, lists, nested objects, unknown members) is a field of JSON, or is kept as it is.
 */

import { childrenOf, pretty, rootOf, stringOf } from "./payloads.ts";

export type FieldKind = "text" | "long" | "number" | "integer" | "choice" | "json";

export interface FormField {
  name: string;
  label: string;
  kind: FieldKind;
  required: boolean;
  hint: string | undefined;
  placeholder: string | undefined;
  /** The type of an HTML input. */
  input: string;
  /** JSON texts, of a choice. */
  choices: readonly string[];
  /** What it begins with; empty: it is left out. */
  preset: string;
}

export type Values = Readonly<Record<string, string>>;
type Schema = Readonly<Record<string, unknown>>;

const MOST_FIELDS = 60;
const LONG_TEXT = 200;
const INPUTS: Readonly<Record<string, string>> = { date: "date", email: "email", uri: "url" };
const EXAMPLES: Readonly<Record<string, string>> = {
  "date-time": "2026-01-31T09:00:00Z", time: "09:00:00Z", duration: "PT15M", uri: "https://", email: "ana@example.com", hostname: "example.com", ipv4: "192.0.2.1",
};
/** What JSON takes as a number. */
export const NUMBER_PATTERN = "-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+\\-]?[0-9]+)?";
export const INTEGER_PATTERN = "-?(0|[1-9][0-9]*)";
const IS_NUMBER = new RegExp(`^${NUMBER_PATTERN}$`);

/** Return the fields of a form; undefined where a schema says too little, or too much, for one. */
export function fieldsOf(schema: unknown): readonly FormField[] | undefined {
  if (!isSchema(schema)) return undefined;
  const root = resolved(schema, schema);
  if (["oneOf", "anyOf", "allOf", "if", "patternProperties", "$ref"].some((key) => key in root) || !isSchema(root["properties"])) return undefined;
  const entries = Object.entries(root["properties"]);
  if (entries.length === 0 || entries.length > MOST_FIELDS) return undefined;
  const required = new Set(Array.isArray(root["required"]) ? root["required"] : []);
  return entries.map(([name, inner]) => fieldOf(name, isSchema(inner) ? resolved(inner, schema) : {}, required.has(name)));
}

function fieldOf(name: string, schema: Schema, required: boolean): FormField {
  const type = typeOf(schema);
  const choices = choicesOf(schema, type);
  const kind = choices.length ? "choice" : kindOf(schema, type);
  const format = textOr(schema["format"], "");
  const [example] = Array.isArray(schema["examples"]) ? (schema["examples"] as unknown[]) : [];
  const preset = "const" in schema ? schema["const"] : schema["default"];
  return {
    name,
    kind,
    required,
    choices,
    label: textOr(schema["title"], name),
    hint: hintOf(schema),
    placeholder: example === undefined ? EXAMPLES[format] : shownAs(kind, JSON.stringify(example)),
    input: kind === "text" ? (INPUTS[format] ?? "text") : "text",
    preset: preset === undefined ? "" : shownAs(kind, JSON.stringify(preset)),
  };
}

function typeOf(schema: Schema): string {
  const named: unknown[] = Array.isArray(schema["type"]) ? (schema["type"] as unknown[]).filter((one) => one !== "null") : [schema["type"]];
  return named.length === 1 && typeof named[0] === "string" ? named[0] : "";
}

function choicesOf(schema: Schema, type: string): string[] {
  if ("const" in schema) return [JSON.stringify(schema["const"])];
  if (Array.isArray(schema["enum"])) return schema["enum"].map((one) => JSON.stringify(one));
  return type === "boolean" ? ["true", "false"] : [];
}

function kindOf(schema: Schema, type: string): FieldKind {
  if (["oneOf", "anyOf", "allOf", "$ref"].some((key) => key in schema)) return "json";
  if (type === "number" || type === "integer") return type;
  if (type !== "string") return "json";
  const most = schema["maxLength"];
  return (typeof most === "number" && most >= LONG_TEXT) || textOr(schema["default"], "").includes("\n") ? "long" : "text";
}

function hintOf(schema: Schema): string | undefined {
  const { minimum, maximum, minLength, maxLength } = schema;
  const between = (least: unknown, most: unknown, unit: string) =>
    typeof least === "number" && typeof most === "number" ? `${least} to ${most}${unit}`
    : typeof least === "number" ? `${least}${unit} or more`
    : typeof most === "number" ? `Up to ${most}${unit}`
    : "";
  const limits = between(minimum, maximum, "") || between(minLength || undefined, maxLength, " characters");
  return [textOr(schema["description"], ""), limits].filter(Boolean).join(" · ") || undefined;
}

/** Return the JSON text of the input: given values, and members that have no field. */
export function textOf(fields: readonly FormField[], values: Values, others: Values = {}): string {
  const given = fields.flatMap((field): [string, string][] => {
    const value = values[field.name] ?? "";
    return value === "" ? [] : [[field.name, jsonOf(field.kind, value)]];
  });
  const all = [...given, ...Object.entries(others)];
  return all.length ? pretty(`{${all.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`) : "{}";
}

function jsonOf(kind: FieldKind, value: string): string {
  if (kind === "choice") return value;
  if (kind === "number" || kind === "integer") return IS_NUMBER.test(value.trim()) ? value.trim() : JSON.stringify(value);
  return kind === "json" && isJson(value) ? value : JSON.stringify(value);
}

/** Return the values of the fields in a JSON text, and its other members; undefined if a field cannot show its value. */
export function valuesOf(fields: readonly FormField[], text: string): { values: Values; others: Values } | undefined {
  if (!isJson(text)) return undefined;
  const root = rootOf(text);
  if (root.kind !== "object") return undefined;
  const byName = new Map(fields.map((field) => [field.name, field]));
  const values: [string, string][] = [];
  const others: [string, string][] = [];
  for (const child of childrenOf(text, root, 0, Infinity).children) {
    const json = text.slice(child.start, child.end);
    const field = byName.get(String(child.key));
    if (!field) others.push([String(child.key), json]);
    else if (!fits(field, child.kind, json)) return undefined;
    else values.push([field.name, field.kind === "text" || field.kind === "long" ? stringOf(text, child) : field.kind === "json" ? pretty(json) : json]);
  }
  return { values: Object.fromEntries(values), others: Object.fromEntries(others) };
}

/** Return what a form begins with. */
export function presetsOf(fields: readonly FormField[]): Values {
  return Object.fromEntries(fields.map((field) => [field.name, field.preset]));
}

function fits(field: FormField, kind: string, json: string): boolean {
  if (field.kind === "json") return true;
  if (field.kind === "choice") return field.choices.includes(json);
  if (field.kind === "number" || field.kind === "integer") return kind === "number";
  // An empty text would be left out, and one line of input takes no breaks.
  return kind === "string" && json !== '""' && (field.kind === "long" || !/\\[nr]/.test(json));
}

/** Return what is wrong with a field, by the server's paths: `input.rows`, `input.rows.0`. */
export function problemAt(problems: Readonly<Record<string, readonly string[]>>, name: string): string | undefined {
  const path = `input.${name}`;
  const found = Object.entries(problems).filter(([key]) => key === path || key.startsWith(`${path}.`));
  return found.map(([key, texts]) => (key === path ? "" : `${key.slice(path.length + 1)}: `) + texts.join(" ")).join(" ") || undefined;
}

function shownAs(kind: FieldKind, json: string): string {
  if (kind === "text" || kind === "long") return json.startsWith('"') ? String(JSON.parse(json)) : json;
  return kind === "json" ? pretty(json) : json;
}

/** Return what a schema refers to, within the whole one. */
function resolved(schema: Schema, whole: Schema): Schema {
  const found = /^#\/(\$defs|definitions)\/([^/~%]+)$/.exec(textOr(schema["$ref"], ""));
  const definitions = found ? whole[found[1] as string] : undefined;
  const target = isSchema(definitions) && Object.hasOwn(definitions, found?.[2] as string) ? definitions[found?.[2] as string] : undefined;
  if (!isSchema(target)) return schema;
  const { $ref: _, ...own } = schema;
  return { ...target, ...own };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOr(value: unknown, other: string): string {
  return typeof value === "string" ? value : other;
}
