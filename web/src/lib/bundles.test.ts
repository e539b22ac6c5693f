import assert from "node:assert/strict";
import { test } from "node:test";

import { droppedOf, entriesOf, leftOut } from "./bundles.ts";

interface Tree {
  [name: string]: string | Tree;
}

/** An entry of a drop as browsers have it: a folder is read in parts, and an empty part is its end. */
function entry(name: string, content: string | Tree): FileSystemEntry {
  if (typeof content === "string") return { name, isFile: true, isDirectory: false, file: (done: (file: File) => void) => done(new File([content], name)) } as unknown as FileSystemEntry;
  const parts = Object.entries(content).map(([inner, value]) => [entry(inner, value)]);
  const readEntries = (done: (some: FileSystemEntry[]) => void) => done(parts.shift() ?? []);
  return { name, isFile: false, isDirectory: true, createReader: () => ({ readEntries }) } as unknown as FileSystemEntry;
}

test("a folder is taken without its own name, and without what is left out", async () => {
  const dropped = await droppedOf([entry("shop", { "main.py": "x = 1", data: { "rates.csv": "a,b" }, node_modules: { "a.js": "" }, ".env": "TOKEN=1" })], []);
  assert.equal(dropped.name, "shop");
  assert.deepEqual(dropped.files.map(({ path }) => path), ["main.py", "data/rates.csv"]);
  assert.deepEqual(dropped.skipped, [
    { path: "shop/node_modules/", reason: "left out by default" },
    { path: "shop/.env", reason: "never uploaded" },
  ]);
  const [first] = await entriesOf(dropped);
  assert.equal(new TextDecoder().decode(first?.content), "x = 1");
});

test("an archive is taken as it is, and nothing is no deploy", async () => {
  const archive = new File(["PK"], "shop.ZIP");
  assert.deepEqual(await droppedOf([], [archive]), { name: "shop.ZIP", archive, files: [], skipped: [] });
  await assert.rejects(droppedOf([], [new File(["TOKEN=1"], ".env")]), /no file to deploy/);
});

test("secrets and what is installed stay out of a bundle", () => {
  const out = [".env", "app/.env.local", ".git/config", "node_modules/a/index.js", "a/__pycache__/b.pyc", "keys/id_rsa", "x.key", ".DS_Store"];
  assert.deepEqual(out.filter((path) => leftOut(path) === undefined), []);
  assert.equal(leftOut(".env"), "never uploaded");
  for (const path of ["main.py", ".env.example", "app/envs.py", "keys.py"]) assert.equal(leftOut(path), undefined);
});
