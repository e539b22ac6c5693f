import assert from "node:assert/strict";
import { test } from "node:test";

import { fieldsOf, presetsOf, problemAt, textOf, valuesOf, type FormField } from "./input-form.ts";

const SCHEMA = {
  type: "object",
  required: ["order", "amount"],
  $defs: { currency: { enum: ["EUR", "USD"], default: "EUR" } },
  properties: {
    order: { type: "string", title: "Order", examples: ["ord_1042"] },
    amount: { type: "integer", minimum: 1, maximum: 500, description: "In cents" },
    currency: { $ref: "#/$defs/currency" },
    note: { type: ["string", "null"], maxLength: 2000 },
    express: { type: "boolean" },
    lines: { type: "array", items: { type: "object" } },
    either: { oneOf: [{ type: "string" }, { type: "integer" }] },
  },
};
const fields = fieldsOf(SCHEMA) as readonly FormField[];
const kinds = Object.fromEntries(fields.map((field) => [field.name, field.kind]));

test("a schema of an object is a form", () => {
  assert.deepEqual(kinds, { order: "text", amount: "integer", currency: "choice", note: "long", express: "choice", lines: "json", either: "json" });
  const [order, amount, currency] = fields;
  assert.deepEqual([order?.label, order?.required, order?.placeholder], ["Order", true, "ord_1042"]);
  assert.deepEqual([amount?.label, amount?.hint], ["amount", "In cents · 1 to 500"]);
  assert.deepEqual([currency?.choices, currency?.preset], [['"EUR"', '"USD"'], '"EUR"']);
});

test("what says nothing about its members, or leaves a choice between objects, is no form", () => {
  for (const schema of [null, true, {}, { type: "object" }, { properties: {} }, { oneOf: [], properties: { a: {} } }, { $ref: "#/$defs/gone" }])
    assert.equal(fieldsOf(schema), undefined);
});

test("values are JSON as they were typed", () => {
  const text = textOf(fields, { ...presetsOf(fields), order: 'a "b"', amount: "9007199254740993", express: "true", lines: '[{"n": 1.0}]', either: "plain", note: "" });
  assert.equal(text.replace(/\s+/g, ""), String.raw`{"order":"a\"b\"","amount":9007199254740993,"currency":"EUR","express":true,"lines":[{"n":1.0}],"either":"plain"}`);
  assert.equal(textOf(fields, {}), "{}");
  assert.match(textOf(fields, { amount: "007" }), /"amount": "007"/); // which the server refuses by name
});

test("a text is read into the form and is the same again", () => {
  const text = textOf(fields, { order: "o", amount: "12345678901234567890", lines: "[]" }, { other: '{"kept":1e400}' });
  const read = valuesOf(fields, text);
  assert.deepEqual(read?.values, { order: "o", amount: "12345678901234567890", lines: "[]" });
  assert.deepEqual(read?.others, { other: '{\n    "kept": 1e400\n  }' });
  assert.equal(textOf(fields, read?.values ?? {}, read?.others), text);
});

test("what a field cannot show is left to JSON", () => {
  for (const text of ["", "[]", "{", '{"amount": "1"}', '{"currency": "GBP"}', '{"order": ""}', '{"order": "a\\nb"}', '{"order": null}']) assert.equal(valuesOf(fields, text), undefined);
});

test("members of hostile names are members", () => {
  const [field] = fieldsOf({ properties: { "</label><img>": { type: "string" } } }) as FormField[];
  assert.deepEqual(valuesOf([field as FormField], textOf([field as FormField], { "</label><img>": "x" }))?.values, { "</label><img>": "x" });
});

test("a refusal is shown at its field", () => {
  const problems = { "input.amount": ["Must be at least 1."], "input.lines.0.n": ["Is required."], "input.amounts": ["No."] };
  assert.equal(problemAt(problems, "amount"), "Must be at least 1.");
  assert.equal(problemAt(problems, "lines"), "0.n: Is required.");
  assert.equal(problemAt(problems, "order"), undefined);
});
