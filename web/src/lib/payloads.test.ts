import assert from "node:assert/strict";
import { test } from "node:test";

import { childrenOf, keepPayloads, pretty, preview, problemOf, rootOf, stringOf, withPayloads } from "./payloads.ts";

const parse = (text: string) => JSON.parse(keepPayloads(text));

test("payloads of one thing and of a list stay text, exact to the last digit", () => {
  const one = parse('{"data":{"id":"job_1","input":{"n": 9007199254740993},"output": [1,"a]"],"error":null}}');
  assert.deepEqual(one.data, { id: "job_1", input: '{"n": 9007199254740993}', output: '[1,"a]"]', error: null });
  const many = parse('{"data":[{"input":{}},{"input":{"a":"\\"}"}}],"pagination":{"total":2}}');
  assert.deepEqual(many.data, [{ input: "{}" }, { input: '{"a":"\\"}"}' }]);
  assert.deepEqual(many.pagination, { total: 2 });
});

test("what only looks like a payload is left", () => {
  const given = '{"data":{"schema":{"input":5,"data":[1]},"name":"input"},"input":7}';
  assert.deepEqual(parse(given), JSON.parse(given));
  assert.equal(parse('{"data":{"output":null}}').data.output, null);
  assert.equal(keepPayloads("not json"), "not json");
  assert.equal(keepPayloads(""), "");
});

test("the fields of log lines stay text", () => {
  const { data } = parse('{"data":{"logs":[{"msg":"a","fields":{"id":12345678901234567890}}],"next_after":null}}');
  assert.equal(data.logs[0].fields, '{"id":12345678901234567890}');
});

test("edited text is sent as it was typed", () => {
  const body = withPayloads({ worker_id: "wkr_1" }, { input: '{ "n": 9007199254740993 }' });
  assert.equal(body, '{"worker_id":"wkr_1","input":{ "n": 9007199254740993 }}');
  assert.equal(withPayloads({}, { input: "1" }), '{"input":1}');
  assert.equal(withPayloads({ a: 1 }, {}), '{"a":1}');
});

test("a tree finds its children when it is asked", () => {
  const text = ' { "a" : [1, 2.50, {"b":"\\u0041"}], "c": true, "d":null } ';
  const root = rootOf(text);
  assert.equal(root.kind, "object");
  const { children, total } = childrenOf(text, root);
  assert.equal(total, 3);
  assert.deepEqual(children.map(({ key, kind }) => [key, kind]), [["a", "array"], ["c", "boolean"], ["d", "null"]]);
  const list = childrenOf(text, children[0]!);
  assert.deepEqual(list.children.map(({ start, end }) => text.slice(start, end)), ["1", "2.50", '{"b":"\\u0041"}']);
  const [inner] = childrenOf(text, list.children[2]!).children;
  assert.equal(stringOf(text, inner!), "A");
  assert.deepEqual(childrenOf(text, children[0]!, 1, 1).children.map(({ key }) => key), [1]);
});

test("broken text ends every scan", () => {
  for (const text of ['{"a', '{"a":', "[1,", '"abc\\', "[", '{"data":{"input":{"a', '{"data":[{']) {
    const root = rootOf(text);
    childrenOf(text, root);
    pretty(text);
    keepPayloads(text);
  }
});

test("pretty changes white space only", () => {
  const text = '{"a":[1.0,{}],"b":{"c":"x, {y}"},"d":[]}';
  assert.equal(pretty(text), '{\n  "a": [\n    1.0,\n    {}\n  ],\n  "b": {\n    "c": "x, {y}"\n  },\n  "d": []\n}');
  assert.equal(pretty("12345678901234567890"), "12345678901234567890");
});

test("a large text is scanned in linear time", () => {
  const text = `{"data":{"input":${JSON.stringify({ a: "\\".repeat(200_000), list: Array(20_000).fill("x") })}}}`;
  assert.equal(typeof parse(text).data.input, "string");
});

test("problems name what is wrong", () => {
  assert.equal(problemOf('{"a": 1}'), undefined);
  assert.equal(problemOf("[1]"), "Must be a JSON object.");
  assert.match(problemOf("{a}") ?? "", /^Is not JSON: /);
});

test("a preview is one line", () => {
  assert.equal(preview('{\n  "a": 1\n}'), '{ "a": 1 }');
  assert.equal(preview("x".repeat(500), 10), `${"x".repeat(10)}…`);
});
